package main

import (
	"testing"
	"testing/fstest"
)

func TestOwnUnit(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/healbot-shop.service\n":                            "healbot-shop.service",
		"4:memory:/x.service\n1:name=systemd:/system.slice/shop.service\n":   "shop.service",
		"0::/user.slice/user-1000.slice/session-2.scope\n":                   "",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.scope": "",
		"": "",
	} {
		root := fstest.MapFS{"proc/self/cgroup": {Data: []byte(text)}}
		if got := ownUnit(root); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
