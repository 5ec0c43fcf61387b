package runner

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/healing-bot/healbot/service"
)

// A limit bounds what is made ready and what is started, also one that comes later.
func TestLimit(t *testing.T) {
	for limit, want := range map[int]int{1: 1, 3: 3, -1: 50} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var services []service.Service
				for i := range 50 {
					services = append(services, svc(fmt.Sprintf("s%02d", i)))
				}
				b := newFakes()
				var preparing, starting counter
				b.prepare = func(service.Service) error {
					defer preparing.enter()()
					time.Sleep(time.Second)
					return nil
				}
				b.start = func(service.Key, int) error {
					defer starting.enter()()
					time.Sleep(time.Second)
					return nil
				}
				s := runWith(t, b, project(t, t.TempDir(), services...), Config{Parallel: 2})
				s.Limit(limit)
				s.up()
				for what, c := range map[string]*counter{"made ready": &preparing, "started": &starting} {
					if _, most, all := c.read(); most != want || all != 50 {
						t.Errorf("%d of %d %s at once, want %d of 50", most, all, what, want)
					}
				}
				s.end()
			})
		})
	}
}
