package service

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// An Endpoint is where a service is found, as others are told of it.
type Endpoint struct {
	Service string
	Host    string // "": the address of its instance, which is known once that is up
	Port    int
	Scheme  string   // "http" or "tcp"
	Own     []string // variables that the one who is told sets itself
}

// Variables gives what tells others of the endpoint, KEY=VALUE: DB_HOST, DB_PORT and DB_URL
// for a service db, as Compose's providers set them.
func (e Endpoint) Variables() []string {
	prefix, port := VariableName(e.Service), strconv.Itoa(e.Port)
	if prefix != "" && prefix[0] >= '0' && prefix[0] <= '9' {
		prefix = "_" + prefix // a variable's name begins with no digit
	}
	return slices.DeleteFunc([]string{
		prefix + "_HOST=" + e.Host,
		prefix + "_PORT=" + port,
		prefix + "_URL=" + e.Scheme + "://" + net.JoinHostPort(e.Host, port),
	}, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(e.Own, name)
	})
}

// VariableName gives the name of a service, a secret or a config as part of a variable's.
func VariableName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// Located gives a native service as it is told of the containers it needs whose address is
// not known before they are up. An address of "" is none; the hooks are told as well.
func (s Service) Located(address func(service string) string) Service {
	for _, n := range s.Needs {
		if n.Endpoint == nil || s.Process == nil || address(n.Service) == "" {
			continue
		}
		at := *n.Endpoint
		at.Host = address(n.Service)
		p := *s.Process
		p.Env = WithVariables(p.Env, at.Variables())
		s.Process = &p
		s.PostStart, s.PreStop = located(s.PostStart, at), located(s.PreStop, at)
	}
	return s
}

// located tells hooks, which may set a variable themselves.
func located(hooks []Hook, at Endpoint) []Hook {
	hooks = slices.Clone(hooks)
	for i, h := range hooks {
		at.Own = nil
		for _, kv := range h.Env {
			name, _, _ := strings.Cut(kv, "=")
			at.Own = append(at.Own, name)
		}
		hooks[i].Env = WithVariables(h.Env, at.Variables())
	}
	return hooks
}

// WithVariables gives a sorted environment with variables set.
func WithVariables(env, set []string) []string {
	env = slices.Clone(env)
	for _, kv := range set {
		name, _, _ := strings.Cut(kv, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		env = append(env, kv)
	}
	slices.Sort(env)
	return env
}
