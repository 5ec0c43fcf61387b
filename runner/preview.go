package runner

import (
	"context"
	"fmt"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// Preview says what Apply would do with a file, a note for each replica, and does
// nothing.
func (r *Runner) Preview(ctx context.Context, p Plan) (notes []string, err error) {
	var failed error
	err = r.ask(ctx, func() {
		if failed = r.check(p); failed == nil {
			notes = r.preview(p)
		}
	})
	if err == nil {
		err = failed
	}
	return notes, err
}

func (r *Runner) preview(p Plan) (notes []string) {
	declared := map[string]bool{}
	for _, svc := range p.Project.Services {
		declared[svc.Name] = true
		if !p.touches(svc.Name) {
			continue
		}
		for n := 1; n <= svc.Replicas; n++ {
			key := service.Key{Service: svc.Name, Replica: n}
			notes = append(notes, key.String()+": "+r.fate(r.units[key], svc, p))
		}
	}
	for _, u := range r.sorted() {
		switch wanted := replicasIn(p.Project, u.svc.Name); {
		case !declared[u.svc.Name] && p.Orphans:
			notes = append(notes, u.key.String()+": would be removed, the file no longer names it")
		case !declared[u.svc.Name]:
			notes = append(notes, u.key.String()+": would stay as an orphan, the file no longer names it")
		case p.touches(u.svc.Name) && u.key.Replica > wanted:
			notes = append(notes, u.key.String()+": would be removed, scaled down")
		}
	}
	return notes
}

// fate says what would become of one replica; u is nil if there is none yet.
func (r *Runner) fate(u *unit, svc service.Service, p Plan) string {
	switch {
	case u == nil:
		return "would be created"
	case u.state.Phase == policy.Resting:
		return fmt.Sprintf("would be started, it is %s", u.state.Status)
	case p.Keep:
		return "would be kept as it is"
	}
	if why := p.replaces(u.key, u.svc.Hash != svc.Hash); why != "" {
		return "would be replaced" + why
	}
	if p.Restart {
		return "would be restarted"
	}
	pol := p.Project.Policies[svc.Name]
	if pol.Name = u.policy.Name; pol != u.policy {
		return "would go on under its new policy"
	}
	return "would be kept as it is"
}

func replicasIn(p Project, name string) int {
	for _, svc := range p.Services {
		if svc.Name == name {
			return svc.Replicas
		}
	}
	return 0
}
