package docker

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// Our labels. What bears labelProject was made by healbot; nothing else is changed.
const (
	labelProject = "healbot.project"
	labelService = "healbot.service"
	labelReplica = "healbot.replica"
	labelHash    = "healbot.hash"

	labelOneOff = "healbot.oneoff" // of what a user runs once: its project; it has no other of ours
)

// Compose's labels, so that docker compose ps and ls show what healbot runs.
const (
	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
	composeNumber  = "com.docker.compose.container-number"
	composeOneOff  = "com.docker.compose.oneoff"
	composeHash    = "com.docker.compose.config-hash"
	composeDir     = "com.docker.compose.project.working_dir"
	composeImage   = "com.docker.compose.image"
	composeNetwork = "com.docker.compose.network"
	composeVolume  = "com.docker.compose.volume"
)

// containerLabels gives the labels of one replica: the file's own, Compose's and ours.
func containerLabels(svc service.Service, replica int) map[string]string {
	labels := make(map[string]string)
	maps.Copy(labels, svc.Image.Config.Labels)
	maps.Copy(labels, svc.Image.Config.CustomLabels)
	number := strconv.Itoa(replica)
	maps.Copy(labels, map[string]string{
		composeProject: svc.Project,
		composeService: svc.Name,
		composeNumber:  number,
		composeOneOff:  "False",
		composeHash:    svc.Hash,
		composeDir:     svc.Dir,
		labelProject:   svc.Project,
		labelService:   svc.Name,
		labelReplica:   number,
		labelHash:      svc.Hash,
	})
	return labels
}

// containerName is the name of one replica's container.
func containerName(svc service.Service, replica int) string {
	if n := svc.Image.Config.ContainerName; n != "" {
		return n
	}
	return fmt.Sprintf("%s-%s-%d", svc.Project, svc.Name, replica)
}

// marks gives the labels that mark the containers of one replica, also those that docker
// compose made; one that was run for a single command is not among them.
func marks(project string, key service.Key) []string {
	return []string{
		composeProject + "=" + project,
		composeService + "=" + key.Service,
		composeNumber + "=" + strconv.Itoa(key.Replica),
		composeOneOff + "=False",
	}
}

// theirs reports whether docker compose made a container of the project, and not healbot:
// it is followed like one of ours, and never touched.
func theirs(labels map[string]string) bool { return labels[labelProject] == "" }

// ours gives the labels that mark the containers of one replica that healbot made.
func ours(project string, key service.Key) []string {
	return []string{
		labelProject + "=" + project,
		labelService + "=" + key.Service,
		labelReplica + "=" + strconv.Itoa(key.Replica),
	}
}

func labelled(labels ...string) filters.Args {
	f := filters.NewArgs()
	for _, l := range labels {
		f.Add("label", l)
	}
	return f
}

// list gives the containers that bear all labels, running or not, the latest first.
func (b *Backend) list(ctx context.Context, labels ...string) ([]container.Summary, error) {
	return ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) ([]container.Summary, error) {
		return cli.ContainerList(ctx, container.ListOptions{All: true, Filters: labelled(labels...)})
	})
}

func (b *Backend) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	return ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) (container.InspectResponse, error) {
		return cli.ContainerInspect(ctx, id)
	})
}

// keyOf reads from a container's labels which replica it is.
func keyOf(labels map[string]string) service.Key {
	replica, err := strconv.Atoi(labels[composeNumber])
	if err != nil {
		replica = 1
	}
	return service.Key{Service: labels[composeService], Replica: replica}
}

// name gives a container's name as people know it.
func name(names []string) string {
	if len(names) == 0 {
		return "without a name"
	}
	return strings.TrimPrefix(names[0], "/")
}
