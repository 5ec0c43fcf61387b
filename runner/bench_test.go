package runner

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// crowd is a Runner of many services that are up, on fakes.
func crowd(b *testing.B, n int) (*Runner, []*unit, *fakes) {
	b.Helper()
	p := Project{Name: "bench", Dir: b.TempDir(), Policies: map[string]policy.Policy{}}
	for i := range n {
		s := svc(fmt.Sprintf("s%04d", i))
		s.Check = &service.Check{Engine: true}
		p.Services = append(p.Services, s)
		p.Policies[s.Name] = policy.Policy{Condition: policy.Always, Window: time.Hour, Probe: policy.EngineProbe}
	}
	backend := newFakes()
	r, _, err := New(p, Config{Backends: map[service.Kind]Backend{service.Native: backend}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	if _, err := r.Apply(ctx, Plan{Project: p}); err != nil {
		b.Fatal(err)
	}
	var units []*unit
	if err := r.ask(ctx, func() { units = r.sorted() }); err != nil {
		b.Fatal(err)
	}
	return r, units, backend
}

// BenchmarkLoopQuiet is an event that changes nothing that people see, among 500 units.
func BenchmarkLoopQuiet(b *testing.B) {
	r, units, _ := crowd(b, 500)
	for _, u := range units {
		r.post(func() { r.apply(u, policy.Judged{Run: 1, Healthy: true}) })
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		u := units[i%len(units)]
		i++
		r.post(func() { r.apply(u, policy.Judged{Run: 1, Healthy: true}) })
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkLoopChange is an event that everybody is told of: status, files, history.
func BenchmarkLoopChange(b *testing.B) {
	r, units, _ := crowd(b, 500)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		u, healthy := units[i%len(units)], i/len(units)%2 == 0
		i++
		r.post(func() {
			u.policy.IgnoreUnhealthy = true
			r.apply(u, policy.Judged{Run: 1, Healthy: healthy, Why: "no answer"})
		})
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkLoopHeal is a crash and the restart that heals it, without a delay.
func BenchmarkLoopHeal(b *testing.B) {
	_, units, backend := crowd(b, 500)
	up := make(chan struct{}, 1)
	backend.born = func(*fake) { up <- struct{}{} }
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		name := units[i%len(units)].svc.Name
		i++
		backend.instance(name).end(service.Exit{Code: 1})
		<-up
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "restarts/s")
}
