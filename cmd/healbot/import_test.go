package main

import (
	"fmt"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for text, want := range map[string]string{
		"bin/web --port 80":       "bin/web --port 80",
		"exec bin/web":            "bin/web",
		"A=b bin/web":             "[sh -c A=b bin/web]",
		"bin/web -p $PORT | tail": "[sh -c bin/web -p $$PORT | tail]",
	} {
		if got := fmt.Sprint(commandLine(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
