package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/healing-bot/healbot/service"
)

// Send delivers m as n says, or tells why it could not; the error never shows n's URL,
// which may be a secret. A command runs in dir with this process's environment and
// HEALBOT_… on top, and does not outlive ctx.
func Send(ctx context.Context, n service.Notice, m service.Message, dir string) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if n.URL != "" {
		return post(ctx, n.URL, body)
	}
	return run(ctx, n.Command, dir, m, body)
}

// client follows no redirect: the message is for the address in the file.
var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
}

func post(ctx context.Context, to string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return errors.New("its url can't be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "healbot")
	answer, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", req.URL.Host, cause(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("%s answered with status %d", req.URL.Host, answer.StatusCode)
	}
	return nil
}

// cause takes the address off an error of net/http.
func cause(err error) error {
	if e := new(url.Error); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// environ gives a message as environment variables.
func environ(m service.Message) []string {
	return []string{
		"HEALBOT_ON=" + string(m.On), "HEALBOT_PROJECT=" + m.Project, "HEALBOT_SERVICE=" + m.Service,
		"HEALBOT_NAME=" + m.Name, "HEALBOT_STATE=" + string(m.State), "HEALBOT_FROM=" + string(m.From),
		"HEALBOT_REASON=" + m.Reason, "HEALBOT_AT=" + m.At.Format(time.RFC3339Nano),
	}
}
