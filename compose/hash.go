package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// processHash covers what a native process is created with. The form is part of
// the promise that a running instance survives an upgrade of healbot: changing it
// replaces every native instance once.
func (c *converter) processHash(p *service.Process, s types.ServiceConfig) string {
	return digest(struct {
		Argv   []string
		Dir    string
		Env    map[string]*string
		Python *service.Python
		Limits *service.Limits `json:",omitempty"`
		Files  []service.File  `json:",omitempty"`
		TTY    bool            `json:",omitempty"`
		Stdin  bool            `json:",omitempty"`
	}{p.Argv, p.Dir, s.Environment, p.Python, asked(p.Limits), p.Files, p.TTY, p.StdinOpen})
}

// asked gives limits, or nil if there are none.
func asked(l service.Limits) *service.Limits {
	if reflect.ValueOf(l).IsZero() {
		return nil
	}
	return &l
}

// imageHash covers what a container is created with: its whole configuration but
// for what says when and how often it runs, what runs beside it, and how its image is got;
// what is in the secrets and configs that are not files; and the native services that it
// depends on, whose names it is given. Those of others it gets when it is next replaced.
func imageHash(img *service.Image) string {
	s := img.Config
	s.DependsOn, s.Profiles, s.Scale, s.Restart, s.Extends, s.Develop = nil, nil, nil, "", nil, nil
	s.Attach, s.PullPolicy, s.PullRefreshAfter, s.Build = nil, "", "", nil
	s.PostStart, s.PreStop = nil, nil
	if s.Deploy != nil {
		d := *s.Deploy
		d.RestartPolicy, d.Replicas, d.Extensions = nil, nil, nil
		d.Mode, d.EndpointMode, d.Labels, d.UpdateConfig, d.RollbackConfig, d.Placement = "", "", nil, nil, nil, types.Placement{}
		s.Deploy = &d
		if reflect.ValueOf(d).IsZero() {
			s.Deploy = nil
		}
	}
	files := map[string]types.FileObjectConfig{}
	for name, f := range img.Secrets {
		files["secret "+name] = types.FileObjectConfig{File: f.File, Content: f.Content}
	}
	for name, f := range img.Configs {
		files["config "+name] = types.FileObjectConfig{File: f.File, Content: f.Content}
	}
	var natives []string
	for name := range img.Config.DependsOn {
		if slices.Contains(img.Natives, name) {
			natives = append(natives, name)
		}
	}
	if len(files) == 0 && len(natives) == 0 {
		return digest(s)
	}
	slices.Sort(natives)
	return digest(struct {
		Config  types.ServiceConfig
		Files   map[string]types.FileObjectConfig
		Natives []string `json:",omitempty"`
	}{s, files, natives})
}

// digest is the SHA-256 of the JSON form, in which map keys are sorted.
func digest(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("compose: configuration has no JSON form: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
