package healtest

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/healing-bot/healbot"

// rooms is the import table: what each room may import of ours. Those that wire
// others together may import all.
var rooms = map[string][]string{
	"service":       {},
	"runner/policy": {},
	"runner":        {"service", "runner/policy", "probe"},
	"probe":         {"service", "internal/brief"},
	"native":        {"service", "internal/brief", "internal/home", "native/keeper", "native/relay"},
	"native/keeper": {"internal/home", "internal/socket"},
	"native/relay":  {"internal/socket"},
	"docker":        {"service", "internal/brief"},
	"compose":       {"service", "runner/policy"},
	"control":       {"service", "internal/home", "internal/socket"},
	"notify":        {"service", "internal/brief"},

	"internal/brief":            {},
	"internal/home":             {},
	"internal/socket":           {},
	"cmd/healbot":               nil,
	"cmd/stand-in":              {},
	"internal/healtest":         nil,
	"internal/healtest/fixture": {},
	"bench":                     nil,
}

// pure is what the standard library may give to the room that decides.
var pure = []string{"errors", "fmt", "time", "math"}

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(strings.TrimPrefix(pkg.ImportPath, module), "/")
		may, known := rooms[room]
		if !known {
			t.Errorf("%q is no room of the architecture", room)
			continue
		}
		for _, path := range pkg.Imports {
			ours, isOurs := strings.CutPrefix(path, module+"/")
			switch {
			case isOurs && may != nil && !slices.Contains(may, ours):
				t.Errorf("%s may not import %s", room, ours)
			case room == "runner/policy" && !slices.Contains(pure, path):
				t.Errorf("%s decides and may not import %s", room, path)
			}
		}
	}
}

func TestNoGoFileAtTheTop(t *testing.T) {
	files, err := filepath.Glob("../../*.go")
	if err != nil || len(files) > 0 {
		t.Errorf("Go files at the top level: %q, %v", files, err)
	}
}
