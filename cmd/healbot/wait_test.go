package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// forgetful is a supervisor that lets go of its first reader of changes; its service is
// ready by the time that there is a second.
type forgetful struct {
	control.Supervisor
	readers int
}

func (f *forgetful) Status(context.Context) ([]service.Status, error) {
	web := service.Status{Name: "web", Service: "web", State: service.Starting}
	if f.readers > 1 {
		web.State, web.Health = service.Running, service.HealthHealthy
	}
	return []service.Status{web}, nil
}

func (f *forgetful) Changes(context.Context) (<-chan service.Change, error) {
	f.readers++
	changes := make(chan service.Change, 1)
	if f.readers == 1 {
		changes <- service.Change{Missed: true}
		close(changes)
	}
	return changes, nil
}

// What was not read in time does not end up --wait: the supervisor is there still.
func TestWaitThatWasHeldUp(t *testing.T) {
	var out bytes.Buffer
	c := &cli{out: &out, err: &out, progressAs: "plain"}
	p := runner.Project{Services: []service.Service{{Name: "web"}}}
	f := &forgetful{}
	if err := c.waitReady(t.Context(), f, p, upOptions{}); err != nil || f.readers != 2 {
		t.Errorf("%v after %d subscriptions", err, f.readers)
	}
}
