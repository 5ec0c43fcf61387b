package docker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/image"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// A registry has one image, of one layer, and can only be read.
type registry struct {
	manifest []byte
	blobs    map[string][]byte // by digest
	allow    string            // the Authorization that is wanted; "" for none
	slow     chan struct{}     // closed when the layer may go on; nil at once
	pulls    atomic.Int32      // of the manifest
}

// newRegistry makes a registry whose image holds a file of size bytes, and gives the
// image's name.
func newRegistry(t *testing.T, size int) (*registry, string) {
	t.Helper()
	var layer, packed bytes.Buffer
	files := tar.NewWriter(&layer)
	noise := make([]byte, size)
	rand.Read(noise)
	_ = files.WriteHeader(&tar.Header{Name: "noise", Mode: 0o644, Size: int64(size)})
	_, _ = files.Write(noise)
	_ = files.Close()
	squeeze := gzip.NewWriter(&packed)
	_, _ = squeeze.Write(layer.Bytes())
	_ = squeeze.Close()
	r := &registry{blobs: make(map[string][]byte)}
	add := func(kind string, blob []byte) map[string]any {
		digest := digestOf(blob)
		r.blobs[digest] = blob
		return map[string]any{"mediaType": kind, "digest": digest, "size": len(blob)}
	}
	config, _ := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Cmd": []string{"/noise"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(layer.Bytes())}},
	})
	r.manifest, _ = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": add("application/vnd.docker.container.image.v1+json", config),
		"layers": []any{add("application/vnd.docker.image.rootfs.diff.tar.gzip", packed.Bytes())},
	})
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, strings.TrimPrefix(server.URL, "http://") + "/" + healtest.Unique("pulled") + ":1"
}

func digestOf(blob []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(blob)) }

func (r *registry) ServeHTTP(rw http.ResponseWriter, q *http.Request) {
	if r.allow != "" && q.Header.Get("Authorization") != r.allow {
		rw.Header().Set("WWW-Authenticate", `Basic realm="here"`)
		http.Error(rw, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		return
	}
	blob, ok := r.blobs[path.Base(q.URL.Path)]
	switch {
	case q.URL.Path == "/v2/":
	case strings.Contains(q.URL.Path, "/manifests/"):
		r.pulls.Add(1)
		rw.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
		rw.Header().Set("Docker-Content-Digest", digestOf(r.manifest))
		rw.Write(r.manifest)
	case ok:
		rw.Header().Set("Content-Length", fmt.Sprint(len(blob)))
		rw.Write(blob[:len(blob)/2])
		if r.slow != nil && len(blob) > 1<<20 {
			rw.(http.Flusher).Flush()
			<-r.slow
		}
		rw.Write(blob[len(blob)/2:])
	default:
		http.NotFound(rw, q)
	}
}

// pulled gives a service whose image must be pulled.
func (w *world) pulled(ref string) service.Service {
	w.t.Cleanup(func() { w.engine.ImageRemove(w.within(), ref, image.RemoveOptions{Force: true}) })
	svc := w.service("web")
	svc.Image.Config.Image, svc.Image.Config.PullPolicy = ref, ""
	return svc
}

// dockerConfig makes text what docker login wrote.
func (w *world) dockerConfig(text string) {
	dir := w.t.TempDir()
	w.must(os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
	w.t.Setenv("DOCKER_CONFIG", dir)
}

func TestPullWithProgress(t *testing.T) {
	w := newWorld(t)
	r, ref := newRegistry(t, 4<<20)
	r.slow = make(chan struct{})
	svc := w.pulled(ref)
	var notes []string
	w.must(w.backend.Prepare(w.within(), svc, func(s string) {
		if notes = append(notes, s); len(notes) == 2 {
			close(r.slow) // half of it came, and was told
		}
	}))
	if len(notes) < 2 || notes[0] != "pulling "+ref || !strings.HasSuffix(notes[1], " of 4.2 MB") && !strings.HasSuffix(notes[1], " of 4.19 MB") {
		t.Errorf("notes: %q", notes)
	}
	if _, err := w.engine.ImageInspect(w.within(), ref); err != nil {
		t.Errorf("the image is not here: %v", err)
	}
	before := r.pulls.Load()
	w.must(w.backend.Prepare(w.within(), svc, func(s string) { t.Errorf("what is here was pulled again: %s", s) }))
	svc.Image.Config.PullPolicy = types.PullPolicyAlways
	later := open(t)
	w.must(later.Prepare(w.within(), svc, func(string) {}))
	once := r.pulls.Load()
	w.must(later.Prepare(w.within(), svc, func(string) {}))
	if once == before || r.pulls.Load() != once {
		t.Errorf("pull_policy always asked %d times, then %d times", once-before, r.pulls.Load()-once)
	}
}

// TestPullRefresh pulls again what was pulled too long ago, and makes do with it where
// the registry is away.
func TestPullRefresh(t *testing.T) {
	w := newWorld(t)
	r, ref := newRegistry(t, 1)
	svc := w.pulled(ref)
	s := &svc.Image.Config
	for _, c := range []struct {
		policy, after string
		pulls         bool
	}{
		{"daily", "", true}, // it is missing
		{"daily", "", false},
		{"weekly", "", false},
		{"refresh", "1h", false},
		{"every_1ms", "", true},
		{"refresh", "", true},
	} {
		s.PullPolicy, s.PullRefreshAfter = c.policy, c.after
		before, b := r.pulls.Load(), open(t)
		w.must(b.Prepare(w.within(), svc, func(string) {}))
		if asked := r.pulls.Load() > before; asked != c.pulls {
			t.Errorf("pull_policy %s %s: pulled %v", c.policy, c.after, asked)
		}
		w.must(w.engine.ImageTag(w.within(), ref, ref)) // old engines note no time of a pull
	}
	r.allow = "nobody"
	w.must(open(t).Prepare(w.within(), svc, func(string) {}))
	for policy, why := range map[string]string{"every_day": "every_12h", "sometimes": "not supported", "build": "no build section"} {
		s.PullPolicy = policy
		if err := open(t).Prepare(w.within(), svc, func(string) {}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("pull_policy %s: %v", policy, err)
		}
	}
}

func TestPullWithCredentials(t *testing.T) {
	w := newWorld(t)
	r, ref := newRegistry(t, 1)
	r.allow = "Basic dXNlcjpzZWNyZXQ=" // user:secret
	host, _, _ := strings.Cut(ref, "/")
	svc := w.pulled(ref)
	w.dockerConfig(`{}`)
	err := w.backend.Prepare(w.within(), svc, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "docker login") {
		t.Errorf("without credentials: %v", err)
	}
	w.dockerConfig(`{"auths":{"` + host + `":{"auth":"dXNlcjpzZWNyZXQ="}}}`)
	w.must(w.backend.Prepare(w.within(), svc, func(string) {}))
}
