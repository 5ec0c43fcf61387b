package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// Where a container with use_api_socket finds the engine's socket and the credentials
// for registries, as with docker compose.
const (
	apiSocket     = "/var/run/docker.sock"
	apiSocketAuth = "/run/secrets/docker"
)

// shareSocket gives a container what use_api_socket asks for: the engine's socket, and
// what docker login stored for registries.
func (b *Backend) shareSocket(ctx context.Context, image *service.Image) error {
	if !image.Config.UseAPISocket {
		return nil
	}
	cli, err := b.dial(ctx)
	if err != nil {
		return err
	}
	path, local := strings.CutPrefix(cli.DaemonHost(), "unix://")
	if !local {
		return fmt.Errorf("service %s: use_api_socket needs an engine on this host, and that is %s", image.Config.Name, cli.DaemonHost())
	}
	text, err := json.Marshal(loginsOf(ctx))
	if err != nil {
		return err
	}
	const name = "#apisocket"
	c := &image.Config
	c.Volumes = append(slices.Clone(c.Volumes), types.ServiceVolumeConfig{Type: types.VolumeTypeBind, Source: path, Target: apiSocket})
	c.Configs = append(slices.Clone(c.Configs), types.ServiceConfigObjConfig{Source: name, Target: apiSocketAuth + "/config.json", Mode: new(types.FileMode(0o400))})
	image.Configs = maps.Clone(image.Configs)
	if image.Configs == nil {
		image.Configs = types.Configs{}
	}
	image.Configs[name] = types.ConfigObjConfig{Name: name, Content: string(text)}
	if _, own := c.Environment["DOCKER_CONFIG"]; !own {
		c.Environment = maps.Clone(c.Environment)
		if c.Environment == nil {
			c.Environment = types.MappingWithEquals{}
		}
		c.Environment["DOCKER_CONFIG"] = new(apiSocketAuth)
	}
	return nil
}

// loginsOf gives the credentials for registries in the form of Docker's configuration
// file.
func loginsOf(ctx context.Context) map[string]any {
	auths := map[string]map[string]string{}
	for key, auth := range registryAuths(ctx) {
		if auth.IdentityToken != "" {
			auths[key] = map[string]string{"identitytoken": auth.IdentityToken}
			continue
		}
		auths[key] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(auth.Username + ":" + auth.Password))}
	}
	return map[string]any{"auths": auths}
}
