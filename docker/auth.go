package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/api/types/registry"
)

// hubKey is the name of Docker Hub in Docker's configuration file.
const hubKey = "https://index.docker.io/v1/"

// A dockerConfig is what is needed of Docker's configuration file.
type dockerConfig struct {
	Auths       map[string]registry.AuthConfig `json:"auths"`
	CredHelpers map[string]string              `json:"credHelpers"`
	CredsStore  string                         `json:"credsStore"`
}

// readDockerConfig reads the file that docker login writes; one that is not there, or
// can't be read, is empty.
func readDockerConfig() (config dockerConfig) {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return config
		}
		dir = filepath.Join(home, ".docker")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || json.Unmarshal(raw, &config) != nil {
		return dockerConfig{}
	}
	return config
}

// credentials gives what docker login stored for a registry; ok is false when there is
// nothing.
func (c dockerConfig) credentials(ctx context.Context, key string) (auth registry.AuthConfig, ok bool) {
	helper := c.CredsStore
	if h := c.CredHelpers[key]; h != "" {
		helper = h
	}
	auth = c.Auths[key]
	if helper != "" {
		auth = askHelper(ctx, helper, key)
	} else if user, err := base64.StdEncoding.DecodeString(auth.Auth); err == nil && auth.Auth != "" {
		auth.Username, auth.Password, _ = strings.Cut(strings.TrimRight(string(user), "\x00"), ":")
		auth.Auth = ""
	}
	auth.ServerAddress = key
	return auth, auth.Username != "" || auth.IdentityToken != "" || auth.RegistryToken != ""
}

// registryAuth gives the credentials for the registry of an image, in the form of a
// request header; "" when there are none, and the pull is then anonymous.
func registryAuth(ctx context.Context, ref string) string {
	auth, ok := readDockerConfig().credentials(ctx, registryOf(ref))
	if !ok {
		return ""
	}
	header, err := registry.EncodeAuthConfig(auth)
	if err != nil {
		return ""
	}
	return header
}

// registryAuths gives the credentials for every registry that the configuration names,
// for a build, whose base images may come from any.
func registryAuths(ctx context.Context) map[string]registry.AuthConfig {
	config := readDockerConfig()
	all := make(map[string]registry.AuthConfig)
	for _, keys := range []iter.Seq[string]{maps.Keys(config.Auths), maps.Keys(config.CredHelpers)} {
		for key := range keys {
			if auth, ok := config.credentials(ctx, key); ok {
				all[key] = auth
			}
		}
	}
	return all
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
