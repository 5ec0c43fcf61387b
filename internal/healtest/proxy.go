package healtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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

	"github.com/docker/docker/client"
)

// A Proxy stands between healbot and the Docker engine, and speaks HTTP with both. Its
// fields are set before it serves.
type Proxy struct {
	Path     string                 // its socket, in a folder of its own
	From, To string                 // API versions that it claims to speak; "" for the engine's own
	Pass     func(event string) int // how often each event, such as "die", is passed on; nil: once

	own   string // the engine's version, to which requests are rewritten
	fault atomic.Pointer[fault]
	hold  atomic.Pointer[hold]
}

// A fault is what a proxy does to a request that it is meant for.
type fault struct {
	method, suffix string // of the requests that are meant
	status         int    // answered instead of the engine; 0: the engine's reply gets lost
	left           atomic.Int32
}

// A hold keeps one answer of the engine back.
type hold struct {
	method, suffix string
	taken          atomic.Bool
	held, release  chan struct{}
}

// Serve starts the proxy before an engine, which must have a socket, and ends it with t.
func (p *Proxy) Serve(t testing.TB, engine *client.Client) {
	t.Helper()
	socket, ok := strings.CutPrefix(engine.DaemonHost(), "unix://")
	if !ok {
		Lacks(t, "the engine at %s has no socket here", engine.DaemonHost())
	}
	engine.NegotiateAPIVersion(t.Context())
	p.Path, p.own = filepath.Join(t.TempDir(), "s"), engine.ClientVersion()
	l, err := net.Listen("unix", p.Path)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "docker"})
	forward.Transport, forward.FlushInterval, forward.ModifyResponse = transport, -1, p.answer
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p.serve(rw, r, forward)
	})}}
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
}

// Expect arms the proxy for the next n requests of a kind: they are answered with
// status, or, if that is 0, done by the engine and never answered.
func (p *Proxy) Expect(method, suffix string, status, n int) {
	f := &fault{method: method, suffix: suffix, status: status}
	f.left.Store(int32(n))
	p.fault.Store(f)
}

// Hold keeps the answer to the next request of a kind back, which the engine has obeyed
// once held is closed, until release is called.
func (p *Proxy) Hold(method, suffix string) (held <-chan struct{}, release func()) {
	h := &hold{method: method, suffix: suffix, held: make(chan struct{}), release: make(chan struct{})}
	p.hold.Store(h)
	return h.held, func() { close(h.release) }
}

var versioned = regexp.MustCompile(`^/v(1\.\d+)/`)

func (p *Proxy) serve(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
	if m := versioned.FindStringSubmatch(r.URL.Path); m != nil && p.From != "" {
		if m[1] < p.From {
			rw.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(rw, `{"message":"client version %s is too old. Minimum supported API version is %s"}`, m[1], p.From)
			return
		}
		r.URL.Path = "/v" + p.own + strings.TrimPrefix(r.URL.Path, "/v"+m[1])
	}
	if h := p.hold.Load(); h != nil && r.Method == h.method && strings.HasSuffix(r.URL.Path, h.suffix) && h.taken.CompareAndSwap(false, true) {
		h.keep(rw, r, forward)
		return
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

func (h *hold) keep(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
	answer := httptest.NewRecorder()
	forward.ServeHTTP(answer, r)
	close(h.held)
	select {
	case <-h.release:
		maps.Copy(rw.Header(), answer.Header())
		rw.WriteHeader(answer.Code)
		_, _ = rw.Write(answer.Body.Bytes())
	case <-r.Context().Done():
	}
}

// answer makes the engine's answers those of an engine of another age, or of one whose
// events get lost or come twice.
func (p *Proxy) answer(r *http.Response) error {
	if p.To != "" {
		r.Header.Set("Api-Version", p.To)
	}
	if p.To == "" && p.Pass == nil || !strings.HasSuffix(r.Request.URL.Path, "/events") {
		return nil
	}
	from := r.Body
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(p.events(from, pw)) }()
	r.Body = struct {
		io.Reader
		io.Closer
	}{pr, closer(func() error { pr.Close(); return from.Close() })}
	return nil
}

func (p *Proxy) events(from io.Reader, to io.Writer) error {
	for in := json.NewDecoder(from); ; {
		var event map[string]json.RawMessage
		if err := in.Decode(&event); err != nil {
			return err
		}
		if p.To != "" {
			for _, gone := range []string{"status", "id", "from"} {
				delete(event, gone)
			}
		}
		text, err := json.Marshal(event)
		for range p.passed(event["Action"]) {
			if err == nil {
				_, err = to.Write(text)
			}
		}
		if err != nil {
			return err
		}
	}
}

func (p *Proxy) passed(action json.RawMessage) int {
	if p.Pass == nil {
		return 1
	}
	var name string
	_ = json.Unmarshal(action, &name)
	return p.Pass(name)
}

type closer func() error

// Close implements io.Closer.
func (c closer) Close() error { return c() }
