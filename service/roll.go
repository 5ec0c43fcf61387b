package service

import "sync"

// A Roll is the services of one kind as they are in the file now, those included that an
// earlier supervisor started: it is how a backend knows of a live instance what was not
// said at its start. Its methods may be called from several goroutines at once.
type Roll struct {
	Kind Kind

	mu     sync.Mutex // guards what follows
	byName map[string]Service
}

// Declare tells what services are from now on; those of another kind are passed over.
func (r *Roll) Declare(services []Service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName == nil {
		r.byName = map[string]Service{}
	}
	for _, svc := range services {
		if svc.Kind == r.Kind {
			r.byName[svc.Name] = svc
		}
	}
}

// Declared gives a service as it was declared last.
func (r *Roll) Declared(name string) (svc Service, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	svc, known = r.byName[name]
	return svc, known
}
