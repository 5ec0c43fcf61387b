package docker_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/network"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
)

// neighbour gives a container that depends on a native service, on a bridge network.
func (w *world) neighbour(t *testing.T) (start func(reach error) error, reached *[]netip.Prefix) {
	t.Helper()
	reached = new([]netip.Prefix)
	var refusal error
	b := docker.New(docker.Options{Reach: func(_ context.Context, gateway netip.Prefix) error {
		*reached = append(*reached, gateway)
		return refusal
	}})
	called := healtest.Unique("hosts")
	made, err := w.engine.NetworkCreate(w.within(), called, network.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.Remove(context.Background(), w.project), w.engine.NetworkRemove(context.Background(), made.ID)); err != nil {
			t.Error(err)
		}
		b.Close()
	})
	svc := w.service("box", "sleep")
	svc.Image.Config.NetworkMode = ""
	svc.Image.Config.Networks = map[string]*types.ServiceNetworkConfig{"net": nil}
	svc.Image.Networks = types.Networks{"net": {Name: called, External: true}}
	svc.Image.Natives = []string{"api", "other", "taken"}
	svc.Image.Config.ExtraHosts = types.HostsList{"taken": {"10.1.2.3"}}
	svc.Image.Config.DependsOn = types.DependsOnConfig{"api": {Condition: "service_started"}}
	return func(reach error) error {
		refusal = reach
		i, err := b.Start(w.within(), svc, 1, 1)
		if err != nil {
			return err
		}
		c, err := w.engine.ContainerInspect(w.within(), i.About().ID)
		w.must(err)
		want := []string{"taken:10.1.2.3"}
		if len(*reached) > 0 {
			at := (*reached)[0].Addr().String()
			want = append(want, "api:"+at, "other:"+at)
		}
		if !slices.Equal(c.HostConfig.ExtraHosts, want) {
			t.Errorf("extra hosts %q, want %q", c.HostConfig.ExtraHosts, want)
		}
		return nil
	}, reached
}

func TestNativesByName(t *testing.T) {
	w := newWorld(t)
	start, reached := w.neighbour(t)
	err := start(errors.New("not here"))
	if want := "cannot start box: it depends on the native service api, which it can't reach by name: not here"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	*reached = nil
	if err := start(nil); err != nil {
		t.Fatal(err)
	}
	if p := (*reached)[0]; p.Bits() >= 32 || p.Masked().Addr() == p.Addr() {
		t.Errorf("the gateway with its network is %s", p)
	}

	// A later supervisor hears of the gateway again.
	var again []netip.Prefix
	b := docker.New(docker.Options{Reach: func(_ context.Context, gateway netip.Prefix) error {
		again = append(again, gateway)
		return nil
	}})
	defer b.Close()
	if _, err := b.Adopt(w.within(), w.project); err != nil || len(again) == 0 || again[0] != (*reached)[0] {
		t.Errorf("adoption reaches %v: %v", again, err)
	}
}

// There is no macvlan to be had on every machine: no network at all is as good.
func TestNativesWithoutAGateway(t *testing.T) {
	w := newWorld(t)
	svc := w.service("box", "sleep")
	svc.Image.Natives = []string{"api"}
	w.start(svc, 1)
	svc.Name = "dependent"
	svc.Image.Config.DependsOn = types.DependsOnConfig{"api": {Condition: "service_started"}}
	_, err := w.backend.Start(w.within(), svc, 1, 1)
	if err == nil || !strings.Contains(err.Error(), "network none is of driver null, whose gateway is not this host; put it on a bridge network") {
		t.Errorf("error %v", err)
	}
}
