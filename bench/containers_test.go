package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/internal/healtest"
)

// atOnce is how many calls the raw client makes at the same time.
const atOnce = 8

// BenchmarkContainers brings containers up and down: with healbot up -d and down, and by
// the engine's calls alone, which are create, start, stop and remove. up-ratio and
// down-ratio are healbot's time over theirs.
func BenchmarkContainers(b *testing.B) {
	engine, image := healtest.NeedEngine(b), healtest.Image(b)
	for _, n := range []int{10, 30} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := fleet(b, n, image)
			raw := &rawFleet{b, engine, image, healtest.Unique("raw"), make([]string, n)}
			var rawUp, rawDown, up, down time.Duration
			for b.Loop() {
				rawUp += span(raw.up)
				rawDown += span(raw.down)
				up += span(func() { run(b, dir, "up", "-d") })
				down += span(func() { run(b, dir, "down") })
			}
			for unit, d := range map[string]time.Duration{"raw-up-ms": rawUp, "raw-down-ms": rawDown, "up-ms": up, "down-ms": down} {
				b.ReportMetric(float64(d.Milliseconds())/float64(b.N), unit)
			}
			b.ReportMetric(up.Seconds()/rawUp.Seconds(), "up-ratio")
			b.ReportMetric(down.Seconds()/rawDown.Seconds(), "down-ratio")
		})
	}
}

func span(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// fleet makes a project of n containers.
func fleet(b *testing.B, n int, image string) (dir string) {
	b.Helper()
	dir = b.TempDir()
	text := "name: " + healtest.Unique("fleet") + "\nservices:\n"
	for i := range n {
		text += fmt.Sprintf("  s%d: {image: %q, command: [sleep]}\n", i, image)
	}
	if err := os.WriteFile(filepath.Join(dir, "healbot-compose.yml"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { run(b, dir, "down", "-t", "1") })
	return dir
}

// A rawFleet is the same containers without healbot.
type rawFleet struct {
	b      *testing.B
	engine *client.Client
	image  string
	name   string // of its network
	ids    []string
}

func (r *rawFleet) up() {
	ctx := context.Background()
	if _, err := r.engine.NetworkCreate(ctx, r.name, network.CreateOptions{}); err != nil {
		r.b.Fatal(err)
	}
	r.each(func(i int) error {
		made, err := r.engine.ContainerCreate(ctx, &container.Config{Image: r.image, Cmd: []string{"sleep"}},
			&container.HostConfig{NetworkMode: container.NetworkMode(r.name)}, nil, nil, fmt.Sprintf("%s-%d", r.name, i))
		r.ids[i] = made.ID
		if err == nil {
			err = r.engine.ContainerStart(ctx, made.ID, container.StartOptions{})
		}
		return err
	})
}

func (r *rawFleet) down() {
	ctx := context.Background()
	r.each(func(i int) error {
		err := r.engine.ContainerStop(ctx, r.ids[i], container.StopOptions{})
		if err == nil {
			err = r.engine.ContainerRemove(ctx, r.ids[i], container.RemoveOptions{Force: true, RemoveVolumes: true})
		}
		return err
	})
	if err := r.engine.NetworkRemove(ctx, r.name); err != nil {
		r.b.Fatal(err)
	}
}

// each calls f for each container, atOnce of them at a time.
func (r *rawFleet) each(f func(i int) error) {
	var all sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for i := range r.ids {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			if err := f(i); err != nil {
				r.b.Error(err)
			}
		})
	}
	all.Wait()
	if r.b.Failed() {
		r.b.FailNow()
	}
}
