package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/healing-bot/healbot/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short enough for a test, long enough for a busy machine
const patience = 300 * time.Millisecond

func web(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, c service.HTTPCheck, timeout time.Duration) service.Verdict {
	t.Helper()
	if c.Min == 0 {
		c.Min, c.Max = 200, 399
	}
	began := time.Now()
	v := Run(t.Context(), service.Check{HTTP: &c, Timeout: timeout}, "", nil)
	if took := time.Since(began); took > timeout+20*time.Second {
		t.Errorf("a check with a timeout of %s took %s", timeout, took)
	}
	return v
}

func TestHTTP(t *testing.T) {
	s := web(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			fmt.Fprint(w, `{"state": "ok"}`)
		case "/token":
			if r.Header.Get("X-Token") != "t" || r.Host != "named" {
				w.WriteHeader(http.StatusForbidden)
			}
		case "/local":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	for name, c := range map[string]struct {
		check service.HTTPCheck
		want  service.Verdict
	}{
		"ok":             {service.HTTPCheck{URL: "/ok"}, service.Verdict{Healthy: true, Why: "status 200"}},
		"unavailable":    {service.HTTPCheck{URL: "/"}, service.Verdict{Why: "status 503"}},
		"wanted status":  {service.HTTPCheck{URL: "/", Min: 503, Max: 503}, service.Verdict{Healthy: true, Why: "status 503"}},
		"body":           {service.HTTPCheck{URL: "/ok", Body: `"state": "ok"`}, service.Verdict{Healthy: true, Why: "status 200"}},
		"other body":     {service.HTTPCheck{URL: "/ok", Body: "^no$"}, service.Verdict{Why: "status 200, but the body does not match ^no$"}},
		"bad pattern":    {service.HTTPCheck{URL: "/ok", Body: "("}, service.Verdict{Unable: true, Why: "error parsing regexp: missing closing ): `(`"}},
		"headers":        {service.HTTPCheck{URL: "/token", Headers: map[string]string{"X-Token": "t", "Host": "named"}}, service.Verdict{Healthy: true, Why: "status 200"}},
		"redirect":       {service.HTTPCheck{URL: "/local"}, service.Verdict{Healthy: true, Why: "status 200"}},
		"redirect away":  {service.HTTPCheck{URL: "/away", Min: 200, Max: 299}, service.Verdict{Why: "status 302"}},
		"endless circle": {service.HTTPCheck{URL: "/round"}, service.Verdict{Why: "more than 10 redirects"}},
	} {
		c.check.URL = s.URL + c.check.URL
		if got := ask(t, c.check, 30*time.Second); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestHostileHTTP(t *testing.T) {
	s := web(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			for line := []byte(strings.Repeat("x", 4096)); ; {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		case "/drip":
			for r.Context().Err() == nil {
				fmt.Fprint(w, "x")
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Millisecond)
			}
		case "/silent":
			<-r.Context().Done()
		case "/header":
			for i := range 100 {
				w.Header().Set("X-"+strconv.Itoa(i), strings.Repeat("x", 100<<10))
			}
		}
	})
	for path, c := range map[string]struct {
		body string
		want string
	}{
		"/endless": {"never", "status 200, but the body does not match never"},
		"/drip":    {"never", "no answer within " + patience.String()},
		"/silent":  {"", "no answer within " + patience.String()},
		"/header":  {"", "net/http: server response headers exceeded 65536 bytes; aborted"},
	} {
		timeout := 30 * time.Second
		if strings.HasPrefix(c.want, "no answer") {
			timeout = patience
		}
		if got := ask(t, service.HTTPCheck{URL: s.URL + path, Body: c.body}, timeout); got.Healthy || got.Unable || got.Why != c.want {
			t.Errorf("%s: %+v, want %s", path, got, c.want)
		}
	}
	if got := ask(t, service.HTTPCheck{URL: s.URL + "/endless"}, 30*time.Second); !got.Healthy {
		t.Errorf("a body that nobody asked for: %+v", got)
	}
}

func TestSlowHeader(t *testing.T) {
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				bufio.NewReader(c).ReadString('\n')
				for _, b := range []byte("HTTP/1.1 200 OK\r\nX-Slow: " + strings.Repeat("x", 1000)) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}()
		}
	}()
	if got := ask(t, service.HTTPCheck{URL: "http://" + l.Addr().String()}, patience); got.Why != "no answer within "+patience.String() {
		t.Errorf("a header at some bytes a second: %+v", got)
	}
}

func TestNoProxy(t *testing.T) {
	proxy := web(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	t.Setenv("HTTP_PROXY", proxy.URL)
	if got := ask(t, service.HTTPCheck{URL: "http://service.invalid/", Min: 418, Max: 418}, 30*time.Second); got.Healthy {
		t.Errorf("the proxy answered: %+v", got)
	}
}

func TestTCP(t *testing.T) {
	l := listen(t)
	check := service.Check{TCP: l.Addr().String(), Timeout: 30 * time.Second}
	if got := Run(t.Context(), check, "", nil); !got.Healthy {
		t.Errorf("an open port: %+v", got)
	}
	l.Close()
	if got := Run(t.Context(), check, "", nil); got != (service.Verdict{Why: "connection refused"}) {
		t.Errorf("a closed port: %+v", got)
	}
	check.TCP = "no-port"
	if got := Run(t.Context(), check, "", nil); !got.Unable {
		t.Errorf("an address without port: %+v", got)
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "check.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho $GREETING from $(basename $PWD)\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "GREETING=hi"}
	for name, c := range map[string]struct {
		argv []string
		want service.Verdict
	}{
		"success":         {[]string{"true"}, service.Verdict{Healthy: true}},
		"failure":         {[]string{"false"}, service.Verdict{Why: "exit code 1"}},
		"last line":       {[]string{"sh", "-c", "echo one; echo two >&2; echo; exit 3"}, service.Verdict{Why: "two"}},
		"relative":        {[]string{"./check.sh"}, service.Verdict{Healthy: true, Why: "hi from " + filepath.Base(dir)}},
		"signal":          {[]string{"sh", "-c", "kill -9 $$"}, service.Verdict{Why: "signal: killed"}},
		"not found":       {[]string{"no-such-command"}, service.Verdict{Unable: true, Why: "command no-such-command not found on the service's PATH"}},
		"no file":         {[]string{"/no/such"}, service.Verdict{Unable: true, Why: "command /no/such not found"}},
		"not executable":  {[]string{dir}, service.Verdict{Unable: true, Why: "command " + dir + " is not executable"}},
		"shell's missing": {[]string{"sh", "-c", "exit 127"}, service.Verdict{Unable: true, Why: "exit code 127"}},
		"controls":        {[]string{"printf", `a\tb\033[31m`}, service.Verdict{Healthy: true, Why: "a b [31m"}},
	} {
		got := Run(t.Context(), service.Check{Command: c.argv, Timeout: 30 * time.Second}, dir, env)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestCommandTimeout(t *testing.T) {
	marker := "310." + strconv.Itoa(os.Getpid())
	for name, script := range map[string]string{
		"hangs":               "sleep " + marker,
		"hangs with children": "sleep " + marker + " & sleep " + marker + " & wait",
	} {
		began := time.Now()
		got := run(t, script, patience)
		if got != (service.Verdict{Why: "no answer within " + patience.String()}) {
			t.Errorf("%s: %+v", name, got)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		gone(t, name, marker)
	}
}

func TestChildThatHoldsTheOutput(t *testing.T) {
	marker := "320." + strconv.Itoa(os.Getpid())
	began := time.Now()
	if got := run(t, "echo fine; sleep "+marker+" & exit 0", time.Minute); got != (service.Verdict{Healthy: true, Why: "fine"}) {
		t.Errorf("%+v", got)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	gone(t, "left behind", marker)
}

func TestNotRunHere(t *testing.T) {
	for name, c := range map[string]service.Check{"engine": {Engine: true}, "nothing": {}} {
		if got := Run(t.Context(), c, "", nil); !got.Unable || got.Healthy {
			t.Errorf("%s: %+v", name, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Run(ctx, service.Check{TCP: "127.0.0.1:1"}, "", nil); !got.Unable {
		t.Errorf("abandoned: %+v", got)
	}
}

func TestNothingLeaks(t *testing.T) {
	s := web(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	round := func() {
		ask(t, service.HTTPCheck{URL: s.URL, Body: "ok"}, 30*time.Second)
		ask(t, service.HTTPCheck{URL: "http://127.0.0.1:1"}, 30*time.Second)
		run(t, "echo ok", 30*time.Second)
		Run(t.Context(), service.Check{TCP: s.Listener.Addr().String(), Timeout: 30 * time.Second}, "", nil)
	}
	round()
	before := descriptors(t)
	for range 20 {
		round()
	}
	late := time.Now().Add(time.Minute)
	for descriptors(t) > before+3 {
		if time.Now().After(late) {
			t.Fatalf("%d descriptors are open, %d were before", descriptors(t), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func run(t *testing.T, script string, timeout time.Duration) service.Verdict {
	t.Helper()
	check := service.Check{Command: []string{"sh", "-c", script}, Timeout: timeout}
	return Run(t.Context(), check, t.TempDir(), os.Environ())
}

// gone checks that no "sleep marker" lives any more.
func gone(t *testing.T, name, marker string) {
	t.Helper()
	late := time.Now().Add(time.Minute)
	for {
		left := ""
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, f := range files {
			if line, _ := os.ReadFile(f); string(line) == "sleep\x00"+marker+"\x00" {
				left = filepath.Base(filepath.Dir(f))
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%s: process %s outlived its check", name, left)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
