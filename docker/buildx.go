package docker

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// buildxGrace is how long a cancelled buildx may take to end.
const buildxGrace = 5 * time.Second

// beyondAPI gives what a build asks for that needs a session with the builder, which
// `docker buildx` keeps and the engine's own API does not; "" for nothing.
func beyondAPI(c *types.BuildConfig, o BuildOptions) string {
	wants := []struct {
		what string
		so   bool
	}{
		{"build.secrets", len(c.Secrets) > 0},
		{"build.ssh", len(c.SSH) > 0},
		{"--ssh", len(o.SSH) > 0},
		{"--builder", o.Builder != ""},
		{"build.additional_contexts", len(c.AdditionalContexts) > 0},
		{"build.cache_to", len(c.CacheTo) > 0},
		{"build.cache_from", slices.ContainsFunc(c.CacheFrom, func(from string) bool { return strings.Contains(from, "type=") })},
		{"build.no_cache_filter", len(c.NoCacheFilter) > 0},
		{"build.privileged", c.Privileged},
		{"build.entitlements", len(c.Entitlements) > 0},
		{"build.provenance", asked(cmp.Or(o.Provenance, c.Provenance))},
		{"build.sbom", asked(cmp.Or(o.SBOM, c.SBOM))},
	}
	for _, w := range wants {
		if w.so {
			return w.what
		}
	}
	return ""
}

// asked reports whether an attestation is wanted: the engine's own API makes none.
func asked(attestation string) bool {
	off, err := strconv.ParseBool(attestation)
	return attestation != "" && (err != nil || off)
}

// buildx builds with the docker command and its plugin. Values of secrets and arguments
// reach it by its environment, so that no list of processes shows them.
func (b *Backend) buildx(ctx context.Context, svc service.Service, o BuildOptions, from buildContext, say func(string)) error {
	c := svc.Image.Config.Build
	need := beyondAPI(c, o)
	if c.Isolation != "" {
		return fmt.Errorf("service %s: build.isolation can't go with %s: docker buildx does not know it", svc.Name, need)
	}
	if err := b.findBuildx(ctx, svc.Name, need); err != nil {
		return err
	}
	svc, err := b.buildBases(ctx, svc, o, say)
	if err != nil {
		return err
	}
	argv, env, err := b.buildxCommand(ctx, svc, o, from)
	if err != nil {
		return err
	}
	cmd := b.docker(ctx, argv, env)
	if c.DockerfileInline != "" {
		cmd.Stdin = strings.NewReader(c.DockerfileInline)
	}
	err = runBuildx(cmd, say)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return buildFault(svc, err)
	}
	return nil
}

// buildBases makes the images of the services whose images this one is made from, and
// gives svc with their names.
func (b *Backend) buildBases(ctx context.Context, svc service.Service, o BuildOptions, say func(string)) (service.Service, error) {
	contexts := maps.Clone(svc.Image.Config.Build.AdditionalContexts)
	for _, name := range slices.Sorted(maps.Keys(contexts)) {
		other, ok := strings.CutPrefix(contexts[name], types.ServicePrefix)
		if !ok {
			continue
		}
		base, known := b.Declared(other)
		if !known {
			return svc, fmt.Errorf("service %s: build.additional_contexts: no such service: %s", svc.Name, other)
		}
		contexts[name] = "docker-image://" + base.Image.Config.Image
		err := b.prepareBase(ctx, base, BuildOptions{NoCache: o.NoCache, Pull: o.Pull, SSH: o.SSH, Builder: o.Builder}, say)
		if err != nil {
			return svc, err
		}
	}
	image, build := *svc.Image, *svc.Image.Config.Build
	build.AdditionalContexts = contexts
	image.Config.Build = &build
	svc.Image = &image
	return svc, nil
}

func (b *Backend) prepareBase(ctx context.Context, base service.Service, o BuildOptions, say func(string)) error {
	if base.Image.Config.Build == nil {
		return b.prepareImage(ctx, base, say)
	}
	return b.Build(ctx, base, o, say)
}

// docker makes a command of the docker program, in a process group of its own that ends
// as a whole when ctx does.
func (b *Backend) docker(ctx context.Context, argv, env []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", argv...)
	cmd.Env = append(os.Environ(), env...)
	if b.host != "" {
		cmd.Env = append(cmd.Env, "DOCKER_HOST="+b.host)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = buildxGrace
	return cmd
}

// findBuildx reports why docker buildx can't be had.
func (b *Backend) findBuildx(ctx context.Context, name, need string) error {
	out, err := b.docker(ctx, []string{"buildx", "version"}, nil).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	why, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if errors.Is(err, exec.ErrNotFound) {
		why = "there is no docker command on PATH"
	} else if why == "" {
		why = err.Error()
	}
	return fmt.Errorf("service %s: %s needs docker buildx: %s; install it (package docker-buildx-plugin or docker-buildx), or take %s out", name, need, why, need)
}

// buildxCommand gives the arguments of docker, and the variables that they refer to.
func (b *Backend) buildxCommand(ctx context.Context, svc service.Service, o BuildOptions, from buildContext) (argv, env []string, err error) {
	c := svc.Image.Config.Build
	argv = []string{"buildx", "build", "--load", "--progress=plain"}
	add := func(flag string, values ...string) {
		for _, v := range values {
			argv = append(argv, "--"+flag, v)
		}
	}
	is := func(flag string, so bool) {
		if so {
			argv = append(argv, "--"+flag)
		}
	}
	one := func(flag, value string) {
		if value != "" {
			add(flag, value)
		}
	}
	one("builder", o.Builder)
	add("tag", append([]string{svc.Image.Config.Image}, c.Tags...)...)
	one("target", c.Target)
	one("network", c.Network)
	add("add-host", slices.Sorted(slices.Values(c.ExtraHosts.AsList("=")))...)
	add("cache-from", c.CacheFrom...)
	add("cache-to", c.CacheTo...)
	is("no-cache", c.NoCache || o.NoCache)
	add("no-cache-filter", c.NoCacheFilter...)
	is("pull", c.Pull || o.Pull)
	add("allow", c.Entitlements...)
	if c.Privileged {
		add("allow", "security.insecure")
	}
	if p := cmp.Or(o.Provenance, c.Provenance); p != "" {
		argv = append(argv, "--provenance="+p)
	}
	if s := cmp.Or(o.SBOM, c.SBOM); s != "" {
		argv = append(argv, "--sbom="+s)
	}
	if c.ShmSize > 0 {
		add("shm-size", strconv.FormatInt(int64(c.ShmSize), 10))
	}
	for _, u := range ulimits(c.Ulimits) {
		add("ulimit", u.String())
	}
	platform, err := b.buildPlatform(ctx, svc)
	if err != nil {
		return nil, nil, err
	}
	one("platform", platform)
	labels := buildLabels(svc)
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		add("label", k+"="+labels[k])
	}
	for _, name := range slices.Sorted(maps.Keys(c.AdditionalContexts)) {
		add("build-context", name+"="+c.AdditionalContexts[name])
	}
	for _, k := range c.SSH {
		add("ssh", sshFlag(k))
	}
	add("ssh", o.SSH...)
	if env, err = buildxSecrets(svc, add); err != nil {
		return nil, nil, err
	}
	env = append(env, buildxArgs(buildArgs(svc, o), add)...)
	return append(argv, from.arguments()...), env, nil
}

func sshFlag(k types.SSHKey) string {
	if k.Path == "" {
		return k.ID
	}
	return k.ID + "=" + k.Path
}

// buildxArgs passes build arguments by name, with their values in the environment; one
// whose name means something to docker itself, or to this process, goes as it is.
func buildxArgs(args types.MappingWithEquals, add func(string, ...string)) (env []string) {
	for _, k := range slices.Sorted(maps.Keys(args)) {
		v := args[k]
		have, set := os.LookupEnv(k)
		switch {
		case v == nil || set && have == *v:
			add("build-arg", k)
		case set || docked.MatchString(k):
			add("build-arg", k+"="+*v)
		default:
			add("build-arg", k)
			env = append(env, k+"="+*v)
		}
	}
	return env
}

// docked matches the variables that the docker command and its builder read.
var docked = regexp.MustCompile(`^(DOCKER|BUILDX|BUILDKIT|OTEL|SSH|SSL|GIT|XDG)_|^(HOME|PATH)$|(?i)_proxy$`)

// buildxSecrets names the secrets of a build: a file where it is one, else a variable.
func buildxSecrets(svc service.Service, add func(string, ...string)) (env []string, err error) {
	for n, ref := range svc.Image.Config.Build.Secrets {
		def, ok := svc.Image.BuildSecrets[ref.Source]
		if !ok {
			return nil, fmt.Errorf("service %s: build.secrets: %s is not declared", svc.Name, ref.Source)
		}
		id := ref.Target
		if id == "" {
			id = ref.Source
		}
		if def.File != "" {
			if _, err := os.Stat(def.File); err != nil {
				return nil, fmt.Errorf("service %s: build.secrets: cannot read the secret %s: %w", svc.Name, ref.Source, err)
			}
			add("secret", csvFields("id="+id, "src="+def.File))
			continue
		}
		variable := fmt.Sprintf("HEALBOT_BUILD_SECRET_%d", n+1)
		add("secret", csvFields("id="+id, "env="+variable))
		env = append(env, variable+"="+def.Content)
	}
	return env, nil
}

// csvFields joins the fields of a flag; one with a comma or a quote is quoted.
func csvFields(fields ...string) string {
	for i, f := range fields {
		if strings.ContainsAny(f, "\",\n") {
			fields[i] = `"` + strings.ReplaceAll(f, `"`, `""`) + `"`
		}
	}
	return strings.Join(fields, ",")
}

// arguments names the Dockerfile and the context, which buildx reads itself.
func (c *buildContext) arguments() []string {
	context := c.dir
	if c.remote != "" {
		context = c.remote
	}
	return []string{"--file", c.file, "--", context}
}

// runBuildx runs a build to its end. The error is what the builder said of it, with the
// last thing that a command of the Dockerfile said before.
func runBuildx(cmd *exec.Cmd, say func(string)) error {
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	var heard buildxOutput
	read := make(chan struct{})
	go func() {
		defer close(read)
		heard.read(r, say)
	}()
	err := cmd.Run()
	w.Close()
	<-read
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what did not end when asked to
	}
	if err == nil || heard.failure == "" {
		return err
	}
	if heard.last != "" && !strings.Contains(heard.failure, heard.last) {
		return fmt.Errorf("%s; it said last: %s", heard.failure, heard.last)
	}
	return errors.New(heard.failure)
}

// A buildxOutput is what matters of what a build said.
type buildxOutput struct{ last, failure string }

var (
	buildxStep = regexp.MustCompile(`^#\d+ `)
	buildxTime = regexp.MustCompile(`^\d+\.\d+ `)
	buildxDone = regexp.MustCompile(`^(DONE \d|\.\.\.$|sha256:|transferring )`)
)

// read passes on what people want of buildx's plain progress: which step begins, and
// what its command says.
func (o *buildxOutput) read(r io.Reader, say func(string)) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			o.line(string(line), say)
		}
		if err != nil {
			return
		}
	}
}

func (o *buildxOutput) line(line string, say func(string)) {
	if failure, ok := strings.CutPrefix(line, "ERROR: "); ok {
		failure = strings.TrimPrefix(failure, "failed to build: ")
		o.failure = strings.TrimPrefix(failure, "failed to solve: ")
	}
	number := buildxStep.FindString(line)
	text := line[len(number):]
	if at := buildxTime.FindString(text); number != "" && at != "" {
		text = text[len(at):]
		if said := strings.TrimSpace(colours.ReplaceAllString(text, "")); said != "" {
			o.last = said
		}
	}
	if number == "" || !buildxDone.MatchString(text) {
		say(text)
	}
}
