package compose

import (
	"errors"
	"net"
	"net/textproto"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// ownProbe reads the x- fields of a healthcheck. probed says that there is such a
// probe, even if it is not valid.
func (c *converter) ownProbe(path []string, hc *types.HealthCheckConfig) (check *service.Check, probed bool) {
	if hc == nil {
		return nil, false
	}
	at := append(path[:len(path):len(path)], "healthcheck")
	x := field{c.report, at, map[string]any(hc.Extensions)}
	c.near(at, hc.Extensions, "x-http", "x-tcp", "x-log", "x-on-unhealthy")
	for _, p := range []struct {
		key  string
		read func(field) *service.Check
	}{{"x-http", httpCheck}, {"x-tcp", tcpCheck}, {"x-log", logCheck}} {
		f := x.get(p.key)
		switch {
		case f.value == nil:
		case probed:
			f.fail("remove one of them", "can't be used together with another probe")
		default:
			check, probed = p.read(f), true
		}
	}
	return check, probed
}

func httpCheck(f field) *service.Check {
	if h := f.http(); h != nil {
		return &service.Check{HTTP: h}
	}
	return nil
}

func tcpCheck(f field) *service.Check {
	if addr := f.address(); addr != "" {
		return &service.Check{TCP: addr}
	}
	return nil
}

// logCheck reads x-log: a regular expression.
func logCheck(f field) *service.Check {
	text := f.text()
	_, err := regexp.Compile(text)
	switch {
	case err != nil:
		f.fail("see https://pkg.go.dev/regexp/syntax", "is not a regular expression: %s", regexpFault(err))
	case text == "" && f.value == "":
		f.fail("write a word of the line that says that it is ready", "must not be empty")
	case text != "":
		return &service.Check{Log: text}
	}
	return nil
}

// regexpFault says what is wrong with a regular expression, without repeating it.
func regexpFault(err error) string {
	var e *syntax.Error
	if errors.As(err, &e) {
		return e.Code.String()
	}
	return "it can't be read"
}

// ignoresUnhealthy reads healthcheck.x-on-unhealthy.
func (c *converter) ignoresUnhealthy(path []string, hc *types.HealthCheckConfig) bool {
	if hc == nil {
		return false
	}
	f := field{c.report, append(path[:len(path):len(path)], "healthcheck"), map[string]any(hc.Extensions)}.get("x-on-unhealthy")
	switch f.text() {
	case "ignore":
		return true
	case "", "restart":
	default:
		f.fail("", "must be restart or ignore")
	}
	return false
}

// http reads x-http: a URL, or a mapping with url and what the answer must be.
func (f field) http() *service.HTTPCheck {
	h := &service.HTTPCheck{Min: 200, Max: 399}
	at := f
	if _, ok := f.value.(map[string]any); ok {
		if !f.only(sortedKeys(httpFields)...) {
			return nil
		}
		at = f.get("url")
		if at.value == nil {
			f.fail("write url: http://localhost:8080/health", "lacks url")
			return nil
		}
		h.Min, h.Max = f.get("status").status()
		h.Headers = f.get("headers").headers()
		h.Body = f.get("body").text()
		if _, err := regexp.Compile(h.Body); err != nil {
			f.get("body").fail("see https://pkg.go.dev/regexp/syntax", "is not a regular expression: %s", regexpFault(err))
		}
	}
	h.URL = at.text()
	u, err := url.Parse(h.URL)
	const example = "write it like http://localhost:8080/health"
	switch {
	case h.URL == "" && at.value != "":
		return nil
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		at.fail(example, "is not an http:// or https:// address")
		return nil
	case u.Hostname() == "" || !validPort(u.Port()) && u.Port() != "":
		at.fail(example, "names no host, or no valid port")
		return nil
	}
	return h
}

// status reads "200", 200 or "200-399".
func (f field) status() (low, high int) {
	if f.value == nil {
		return 200, 399
	}
	text, ok := f.value.(string)
	if n, isNumber := number(f.value); !ok && isNumber {
		text = strconv.FormatFloat(n, 'f', -1, 64)
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	low, err1 := strconv.Atoi(strings.TrimSpace(from))
	high, err2 := strconv.Atoi(strings.TrimSpace(to))
	if err1 != nil || err2 != nil || low < 100 || high > 599 || low > high {
		f.fail("", `must be a code such as 204, or a range such as "200-399"`)
		return 200, 399
	}
	return low, high
}

func (f field) headers() map[string]string {
	m, ok := f.value.(map[string]any)
	if !ok {
		if f.value != nil {
			f.fail("", "must be a mapping")
		}
		return nil
	}
	headers := make(map[string]string, len(m))
	for _, key := range sortedKeys(m) {
		at := f.get(key)
		value := at.text()
		if !headerName.MatchString(key) || strings.ContainsAny(value, "\r\n\x00") {
			at.fail("", "is not a valid header")
			continue
		}
		headers[textproto.CanonicalMIMEHeaderKey(key)] = value
	}
	return headers
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (f field) address() string {
	text := f.text()
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || !validPort(port) {
		f.fail("write it like localhost:5432", "must be host:port")
		return ""
	}
	return text
}

func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n <= 65535
}
