package docker_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

func TestImageMissing(t *testing.T) {
	w := newWorld(t)
	registry := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(registry.Close)
	host := strings.TrimPrefix(registry.URL, "http://")
	for _, c := range []struct {
		name, image, policy, want string
		outside                   bool
	}{
		{"never", healtest.Unique("missing"), types.PullPolicyNever, "pull_policy is never", false},
		{"unreachable", "127.0.0.1:1/missing", "", "the registry is unreachable", true},
		{"refused", host + "/missing", types.PullPolicyMissing, "nor in the registry", false},
		{"unknown policy", w.image, "sometimes", "pull_policy sometimes", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			svc := w.service("web", "sleep")
			svc.Image.Config.Image, svc.Image.Config.PullPolicy = c.image, c.policy
			began := time.Now()
			err := w.backend.Prepare(w.within(), svc, func(string) {})
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, service.ErrOutside) != c.outside {
				t.Errorf("outside %v: %v", errors.Is(err, service.ErrOutside), err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}
