package healtest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// NeedEngine gives a client of the Docker engine that the environment names. Without
// a reachable engine the test is skipped, or fails where the environment has CI=true.
func NeedEngine(t testing.TB) *client.Client {
	t.Helper()
	engine, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err = engine.Ping(ctx)
	}
	if err != nil {
		Lacks(t, "it needs a Docker engine: %v", err)
	}
	t.Cleanup(func() { engine.Close() })
	return engine
}

// Image makes an image of the fixture from scratch, with the fixture as its
// entrypoint, and gives its name, which no other test has. It goes when t ends.
func Image(t testing.TB) string {
	t.Helper()
	return imageOf(t, "fixture", fixture(t))
}

// imageOf makes an image from scratch whose entrypoint is a static program.
func imageOf(t testing.TB, what string, program []byte) string {
	t.Helper()
	engine := NeedEngine(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	name := Unique("image") + ":" + what
	answer, err := engine.ImageImport(ctx,
		image.ImportSource{SourceName: "-", Source: archive(t, what, program)}, name,
		image.ImportOptions{Changes: []string{`ENTRYPOINT ["/` + what + `"]`}})
	if err == nil {
		_, err = io.Copy(io.Discard, answer)
		answer.Close()
	}
	if err != nil {
		t.Fatalf("cannot make an image of the %s: %v", what, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := engine.ImageRemove(ctx, name, image.RemoveOptions{Force: true}); err != nil {
			t.Errorf("cannot remove the image of the %s: %v", what, err)
		}
	})
	return name
}

// Unique gives a name of lower-case letters and digits that begins with
// healbot-test-WORD and that no other test has: for projects, networks, images.
func Unique(word string) string {
	return "healbot-test-" + word + "-" + strings.ToLower(rand.Text()[:10])
}

func archive(t testing.TB, what string, program []byte) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: what, Mode: 0o755, Size: int64(len(program))})
	if err == nil {
		_, err = w.Write(program)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatalf("cannot pack the fixture: %v", err)
	}
	return &b
}
