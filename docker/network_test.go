package docker_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// networked gives a service on the project's default network.
func (w *world) networked(name string, args ...string) service.Service {
	svc := w.service(name, args...)
	svc.Image.Config.NetworkMode = ""
	svc.Image.Config.Networks = map[string]*types.ServiceNetworkConfig{"default": nil}
	svc.Image.Networks["default"] = types.NetworkConfig{Name: w.project + "_default"}
	return svc
}

func (w *world) containers() []container.Summary {
	w.t.Helper()
	found, err := w.engine.ContainerList(w.within(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", "healbot.project="+w.project)),
	})
	w.must(err)
	return found
}

func TestNetworkIsMadeAndRemoved(t *testing.T) {
	w := newWorld(t)
	i := w.start(w.networked("web", "sleep"), 1)
	n, err := w.engine.NetworkInspect(w.within(), w.project+"_default", network.InspectOptions{})
	w.must(err)
	for label, want := range map[string]string{
		"com.docker.compose.network": "default",
		"com.docker.compose.project": w.project,
		"healbot.project":            w.project,
	} {
		if n.Labels[label] != want {
			t.Errorf("label %s is %q, not %q", label, n.Labels[label], want)
		}
	}
	joined := w.inspect(i.About().ID).NetworkSettings.Networks[n.Name]
	if joined == nil || !slices.Contains(joined.Aliases, "web") {
		t.Errorf("the container does not answer to its service's name: %+v", joined)
	}
	w.must(w.backend.Remove(w.within(), w.project))
	if _, err := w.engine.NetworkInspect(w.within(), n.ID, network.InspectOptions{}); err == nil {
		t.Error("the network outlived Remove")
	}
}

func TestForeignNetworkIsUsedAndKept(t *testing.T) {
	w := newWorld(t)
	foreign, err := w.engine.NetworkCreate(w.within(), w.project+"_default", network.CreateOptions{})
	w.must(err)
	t.Cleanup(func() { w.must(w.engine.NetworkRemove(w.within(), foreign.ID)) })
	i := w.start(w.networked("web", "sleep"), 1)
	if got := w.inspect(i.About().ID).NetworkSettings.Networks[w.project+"_default"]; got == nil || got.NetworkID != foreign.ID {
		t.Errorf("the network that was there is not used: %+v", got)
	}
	w.must(w.backend.Remove(w.within(), w.project))
	if _, err := w.engine.NetworkInspect(w.within(), foreign.ID, network.InspectOptions{}); err != nil {
		t.Errorf("a foreign network was removed: %v", err)
	}
}

func TestNetworkRemovedByHand(t *testing.T) {
	w := newWorld(t)
	svc := w.networked("web", "sleep")
	i := w.start(svc, 1)
	w.must(i.Kill(w.within()))
	w.wait(i)
	w.must(w.engine.NetworkRemove(w.within(), w.project+"_default"))
	again := w.start(svc, 2)
	if again.About().ID == i.About().ID {
		t.Error("the container still pins the network that is gone")
	}
	if n := len(w.containers()); n != 1 {
		t.Errorf("%d containers are left", n)
	}
}

func TestTwoNetworks(t *testing.T) {
	w := newWorld(t)
	svc := w.networked("web", "sleep")
	svc.Image.Config.Networks["back"] = &types.ServiceNetworkConfig{
		Aliases: []string{"db"}, Priority: 10, Ipv4Address: "10.213.77.9",
	}
	svc.Image.Networks["back"] = types.NetworkConfig{
		Name: w.project + "_back", Internal: true,
		Ipam: types.IPAMConfig{Config: []*types.IPAMPool{{Subnet: "10.213.77.0/24"}}},
	}
	i := w.start(svc, 1)
	joined := w.inspect(i.About().ID).NetworkSettings.Networks
	names := slices.Sorted(maps.Keys(joined))
	if want := []string{w.project + "_back", w.project + "_default"}; !slices.Equal(names, want) {
		t.Fatalf("joined %v, want %v", names, want)
	}
	back := joined[w.project+"_back"]
	if back.IPAddress != "10.213.77.9" || !slices.Contains(back.Aliases, "db") {
		t.Errorf("on the second network: %+v", back)
	}
}

func TestExternalNetworkMissing(t *testing.T) {
	w := newWorld(t)
	svc := w.networked("web", "sleep")
	svc.Image.Networks["default"] = types.NetworkConfig{Name: healtest.Unique("nowhere"), External: true}
	_, err := w.tryStart(svc, 1)
	if !errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "docker network create") {
		t.Errorf("an external network that is missing: %v", err)
	}
}
