package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/jsonmessage"
	"github.com/docker/go-units"

	"github.com/healing-bot/healbot/service"
)

// pullSilence is how long a pull may say nothing before it is given up.
const pullSilence = time.Minute

// noteEvery is the least time between two notes of one pull.
const noteEvery = 250 * time.Millisecond

// prepareImage pulls the image of svc when its pull policy asks for that. A policy of
// always pulls once in the life of the backend, not before every restart.
func (b *Backend) prepareImage(ctx context.Context, svc service.Service, note func(string)) error {
	config := svc.Image.Config
	if config.Build != nil {
		return b.prepareBuilt(ctx, svc, note)
	}
	policy, age, err := pullPolicy(config)
	if err != nil {
		return fmt.Errorf("service %s: %w", svc.Name, err)
	}
	always := policy == types.PullPolicyAlways
	b.mu.Lock()
	done := b.pulled[config.Image]
	b.mu.Unlock()
	if policy == types.PullPolicyRefresh && !done {
		return b.refresh(ctx, svc, age, note)
	}
	if !always || done {
		_, err := b.imageID(ctx, config.Image)
		if !errdefs.IsNotFound(err) {
			return err
		}
		if policy == types.PullPolicyNever {
			return fmt.Errorf("image %s not found here, and pull_policy is never; build or load it", config.Image)
		}
	}
	if err := b.pull(ctx, config.Image, config.Platform, note); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pulled[config.Image] = true
	return nil
}

// pullPolicy reads pull_policy: daily, weekly and every_TIME are a refresh of what is
// older; age says than what.
func pullPolicy(c types.ServiceConfig) (policy string, age time.Duration, err error) {
	policy, age, err = c.GetPullPolicy()
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("pull_policy %s is not supported; use always, missing, never, daily, weekly or every_TIME, as in every_12h", c.PullPolicy)
	case policy == types.PullPolicyBuild:
		return "", 0, errors.New("pull_policy is build, and there is no build section")
	case policy == types.PullPolicyRefresh && age == 0 && c.PullRefreshAfter != "":
		every := types.ServiceConfig{ContainerSpec: types.ContainerSpec{PullPolicy: "every_" + c.PullRefreshAfter}}
		if policy, age, err = every.GetPullPolicy(); err != nil {
			return "", 0, fmt.Errorf("pull_refresh_after %s is no duration: write it as 12h or 3d", c.PullRefreshAfter)
		}
	}
	return policy, age, nil
}

// refresh pulls an image that was pulled too long ago, once in the life of the backend.
// The engine's time of the latest tagging tells, as with docker compose; an old engine
// notes none for a pull, and then every image is old. Where the registry can't be had,
// the image that is here will do.
func (b *Backend) refresh(ctx context.Context, svc service.Service, age time.Duration, note func(string)) error {
	config := svc.Image.Config
	found, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) (image.InspectResponse, error) {
		return cli.ImageInspect(ctx, config.Image)
	})
	missing := errdefs.IsNotFound(err)
	if err != nil && !missing {
		return err
	}
	if !missing && time.Since(found.Metadata.LastTagTime) < age {
		return nil
	}
	err = b.pull(ctx, config.Image, config.Platform, note)
	if err != nil && (missing || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		b.log.Warn("an image was not refreshed", "service", svc.Name, "why", err)
		note(err.Error())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pulled[config.Image] = true
	return nil
}

func (b *Backend) imageID(ctx context.Context, ref string) (string, error) {
	return ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) (string, error) {
		found, err := cli.ImageInspect(ctx, ref)
		return found.ID, err
	})
}

// pull fetches an image. It has no deadline in all, but the registry may not be silent
// for longer than pullSilence.
func (b *Backend) pull(ctx context.Context, ref, platform string, note func(string)) error {
	cli, err := b.dial(ctx)
	if err != nil {
		return err
	}
	note("pulling " + ref)
	live, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(pullSilence, func() { cancel(fmt.Errorf("no answer within %s", pullSilence)) })
	defer silence.Stop()
	stream, err := cli.ImagePull(live, ref, image.PullOptions{Platform: platform, RegistryAuth: registryAuth(ctx, ref)})
	if err == nil {
		defer stream.Close()
		err = readPull(stream, ref, note, func() { silence.Reset(pullSilence) })
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case live.Err() != nil:
		err = context.Cause(live)
	case client.IsErrConnectionFailed(err):
		b.drop(cli)
		return unreachable(cli.DaemonHost(), err)
	}
	return pullFault(ref, err)
}

// Push sends the image of a service to its registry. say hears each step.
func (b *Backend) Push(ctx context.Context, svc service.Service, say func(string)) error {
	ref := svc.Image.Config.Image
	cli, err := b.dial(ctx)
	if err != nil {
		return err
	}
	auth := registryAuth(ctx, ref)
	if auth == "" {
		auth = "e30=" // the engine wants some header, and {} is anonymous
	}
	stream, err := cli.ImagePush(ctx, ref, image.PushOptions{RegistryAuth: auth})
	if err == nil {
		defer stream.Close()
		err = readPush(stream, say)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot push image %s of %s: %s", ref, svc.Name, plain(err))
	}
	return err
}

func readPush(r io.Reader, say func(string)) error {
	for m, err := range messages(r) {
		if err != nil {
			return err
		}
		switch {
		case m.Error != nil:
			return m.Error
		case m.ID == "" && m.Status != "":
			say(m.Status)
		case m.Status == "Pushed" || m.Status == "Layer already exists":
			say(m.ID + ": " + m.Status)
		}
	}
	return nil
}

// messages gives what the engine reports of a pull, a push or a build, to the end.
func messages(r io.Reader) iter.Seq2[jsonmessage.JSONMessage, error] {
	return func(yield func(jsonmessage.JSONMessage, error) bool) {
		for decoder := json.NewDecoder(r); ; {
			var m jsonmessage.JSONMessage
			err := decoder.Decode(&m)
			if errors.Is(err, io.EOF) || !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// readPull reads the engine's report of a pull to its end.
func readPull(r io.Reader, ref string, note func(string), heard func()) error {
	type amount struct{ done, total int64 }
	layers := make(map[string]amount)
	var last time.Time
	for m, err := range messages(r) {
		if err != nil {
			return err
		}
		heard()
		if m.Error != nil {
			return m.Error
		}
		if m.Progress == nil || m.Status != "Downloading" || m.Progress.Total <= 0 {
			continue
		}
		layers[m.ID] = amount{m.Progress.Current, m.Progress.Total}
		if time.Since(last) < noteEvery {
			continue
		}
		last = time.Now()
		var all amount
		for _, l := range layers {
			all.done += l.done
			all.total += l.total
		}
		note(fmt.Sprintf("pulling %s %s of %s", ref, size(all.done), size(all.total)))
	}
	return nil
}

func size(n int64) string {
	return units.CustomSize("%.3g %s", float64(n), 1000, []string{"B", "kB", "MB", "GB", "TB"})
}

// noAnswer finds the host and the cause in what the engine says of a registry.
var noAnswer = regexp.MustCompile(`Get "https?://([^/"]+)[^"]*": (?:dial tcp: )?(?:lookup \S+ on \S+: )?(.+)$`)

// pullFault tells a registry that says no from one that can't be reached.
func pullFault(ref string, err error) error {
	text := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	low := strings.ToLower(text)
	if errdefs.IsInvalidArgument(err) {
		return fmt.Errorf("cannot pull image %s: %s", ref, text)
	}
	for _, no := range []string{"denied", "unauthorized", "authentication required", "no basic auth credentials"} {
		if strings.Contains(low, no) {
			return fmt.Errorf("image %s not found here, and the registry refuses it: %s; check the name, or docker login", ref, text)
		}
	}
	for _, no := range []string{"manifest unknown", "not found", "no matching manifest", "does not exist", "invalid reference format"} {
		if strings.Contains(low, no) && !strings.Contains(low, "lookup ") {
			return fmt.Errorf("image %s not found here, nor in the registry: %s", ref, text)
		}
	}
	if m := noAnswer.FindStringSubmatch(text); m != nil {
		text = m[1] + ": " + m[2]
	}
	return service.Outside(fmt.Errorf("image %s not found here and the registry is unreachable (%s); pull or build it by hand, or name another", ref, text))
}
