package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/api/types/registry"
)

// hubKey is the name of Docker Hub in Docker's configuration file.
const hubKey = "https://index.docker.io/v1/"

// registryAuth gives what docker login stored for the registry of an image, in the
// form of a request header; "" when there is nothing, and the pull is then anonymous.
func registryAuth(ctx context.Context, ref string) string {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".docker")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return ""
	}
	var config struct {
		Auths       map[string]registry.AuthConfig `json:"auths"`
		CredHelpers map[string]string              `json:"credHelpers"`
		CredsStore  string                         `json:"credsStore"`
	}
	if json.Unmarshal(raw, &config) != nil {
		return ""
	}
	key := registryOf(ref)
	helper := config.CredsStore
	if h := config.CredHelpers[key]; h != "" {
		helper = h
	}
	auth := config.Auths[key]
	if helper != "" {
		auth = askHelper(ctx, helper, key)
	} else if user, err := base64.StdEncoding.DecodeString(auth.Auth); err == nil && auth.Auth != "" {
		auth.Username, auth.Password, _ = strings.Cut(strings.TrimRight(string(user), "\x00"), ":")
		auth.Auth = ""
	}
	if auth.Username == "" && auth.IdentityToken == "" && auth.RegistryToken == "" {
		return ""
	}
	auth.ServerAddress = key
	header, err := registry.EncodeAuthConfig(auth)
	if err != nil {
		return ""
	}
	return header
}

// registryOf gives the registry of an image as Docker's configuration file names it.
func registryOf(ref string) string {
	host, _, ok := strings.Cut(ref, "/")
	if !ok || (!strings.ContainsAny(host, ".:") && host != "localhost") || host == "docker.io" || host == "index.docker.io" {
		return hubKey
	}
	return host
}

// askHelper asks docker-credential-NAME for the credentials of a registry.
func askHelper(ctx context.Context, helper, key string) registry.AuthConfig {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "docker-credential-"+filepath.Base(helper), "get")
	c.Stdin = strings.NewReader(key)
	c.WaitDelay = time.Second
	out, err := c.Output()
	if err != nil {
		return registry.AuthConfig{}
	}
	var found struct{ Username, Secret string }
	if json.Unmarshal(out, &found) != nil {
		return registry.AuthConfig{}
	}
	if found.Username == "<token>" {
		return registry.AuthConfig{IdentityToken: found.Secret}
	}
	return registry.AuthConfig{Username: found.Username, Password: found.Secret}
}
