package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/healing-bot/healbot/docker"
)

// A fault is what a proxy does to a request that it is meant for.
type fault struct {
	method, suffix string // of the requests that are meant
	status         int    // answered instead of the engine; 0: the engine's reply gets lost
	left           atomic.Int32
}

// A proxy stands between a backend and the engine, and speaks HTTP with both.
type proxy struct {
	path     string
	from, to string // API versions that the proxy claims to speak; "" for the engine's own
	own      string // the engine's version, to which requests are rewritten
	fault    atomic.Pointer[fault]
}

func newWorldBehindProxy(t *testing.T, p *proxy) *world {
	t.Helper()
	w := newWorld(t)
	engine, ok := strings.CutPrefix(w.engine.DaemonHost(), "unix://")
	if !ok {
		t.Skipf("the engine at %s has no socket here", w.engine.DaemonHost())
	}
	w.engine.NegotiateAPIVersion(w.within())
	p.path, p.own = filepath.Join(t.TempDir(), "s"), w.engine.ClientVersion()
	l, err := net.Listen("unix", p.path)
	w.must(err)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", engine)
	}}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	forward.Transport, forward.FlushInterval, forward.ModifyResponse = transport, -1, p.answer
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p.serve(rw, r, forward)
	})}}
	server.Start()
	w.backend = docker.New(docker.Options{Host: "unix://" + p.path})
	t.Cleanup(func() {
		w.backend.Close()
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	return w
}

// expect arms the proxy for the next n requests of a kind.
func (p *proxy) expect(method, suffix string, status, n int) *fault {
	f := &fault{method: method, suffix: suffix, status: status}
	f.left.Store(int32(n))
	p.fault.Store(f)
	return f
}

var versioned = regexp.MustCompile(`^/v(1\.\d+)/`)

func (p *proxy) serve(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
	if m := versioned.FindStringSubmatch(r.URL.Path); m != nil && p.from != "" {
		if m[1] < p.from {
			rw.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(rw, `{"message":"client version %s is too old. Minimum supported API version is %s"}`, m[1], p.from)
			return
		}
		r.URL.Path = "/v" + p.own + strings.TrimPrefix(r.URL.Path, "/v"+m[1])
	}
	f := p.fault.Load()
	switch {
	case f == nil || r.Method != f.method || !strings.HasSuffix(r.URL.Path, f.suffix) || f.left.Add(-1) < 0:
		forward.ServeHTTP(rw, r)
	case f.status != 0:
		http.Error(rw, `{"message":"out of order"}`, f.status)
	default:
		forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
}

// answer makes the engine's answers those of an engine of another age.
func (p *proxy) answer(r *http.Response) error {
	if p.to == "" {
		return nil
	}
	r.Header.Set("Api-Version", p.to)
	if !strings.HasSuffix(r.Request.URL.Path, "/events") {
		return nil
	}
	from, out := r.Body, json.NewDecoder(r.Body)
	pr, pw := io.Pipe()
	go func() {
		for {
			var event map[string]json.RawMessage
			if err := out.Decode(&event); err != nil {
				pw.CloseWithError(err)
				return
			}
			for _, gone := range []string{"status", "id", "from"} {
				delete(event, gone)
			}
			text, _ := json.Marshal(event)
			if _, err := io.Copy(pw, bytes.NewReader(text)); err != nil {
				return
			}
		}
	}()
	r.Body = struct {
		io.Reader
		io.Closer
	}{pr, closer(func() error { pr.Close(); return from.Close() })}
	return nil
}

type closer func() error

func (c closer) Close() error { return c() }
