package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/healing-bot/healbot/internal/brief"
	"github.com/healing-bot/healbot/service"
)

// Limits of what is read of one answer, and of how far it is looked for.
const (
	maxBody      = 64 << 10 // bytes
	maxHeader    = 64 << 10 // bytes
	maxRedirects = 10
)

var errRedirects = fmt.Errorf("more than %d redirects", maxRedirects)

// browser is shared by all checks. It keeps no connection and knows no proxy.
var browser = &http.Client{
	Transport: &http.Transport{
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	},
	CheckRedirect: func(to *http.Request, via []*http.Request) error {
		if !strings.EqualFold(to.URL.Hostname(), via[0].URL.Hostname()) {
			return http.ErrUseLastResponse
		}
		if len(via) > maxRedirects {
			return errRedirects
		}
		return nil
	},
}

func get(ctx context.Context, c service.HTTPCheck) service.Verdict {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return unable(brief.Line(err.Error()))
	}
	var body *regexp.Regexp
	if c.Body != "" {
		if body, err = regexp.Compile(c.Body); err != nil {
			return unable(brief.Line(err.Error()))
		}
	}
	request.Header.Set("User-Agent", "healbot")
	for k, v := range c.Headers {
		if strings.EqualFold(k, "Host") {
			request.Host = v
			continue
		}
		request.Header.Set(k, v)
	}
	answer, err := browser.Do(request)
	if errors.Is(err, errRedirects) {
		return service.Verdict{Why: errRedirects.Error()}
	}
	if err != nil {
		return fault(err)
	}
	defer answer.Body.Close()
	return judge(answer, c, body)
}

// judge compares an answer with what it must be.
func judge(answer *http.Response, c service.HTTPCheck, body *regexp.Regexp) service.Verdict {
	status := fmt.Sprintf("status %d", answer.StatusCode)
	if answer.StatusCode < c.Min || answer.StatusCode > c.Max {
		return service.Verdict{Why: status}
	}
	if body != nil {
		text, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
		if err != nil {
			return fault(err)
		}
		if !body.Match(text) {
			return service.Verdict{Why: fmt.Sprintf("%s, but the body does not match %s", status, brief.Line(c.Body))}
		}
	}
	return service.Verdict{Healthy: true, Why: status}
}
