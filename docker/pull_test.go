package docker

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadPull(t *testing.T) {
	var notes []string
	heard := 0
	err := readPull(strings.NewReader(`
{"status":"Pulling from app","id":"1"}
{"status":"Downloading","id":"a","progressDetail":{"current":12000000,"total":40000000}}
{"status":"Downloading","id":"b","progressDetail":{"current":1,"total":2}}
{"status":"Extracting","id":"a","progressDetail":{"current":1,"total":40000000}}
`), "app:1", func(s string) { notes = append(notes, s) }, func() { heard++ })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pulling app:1 12 MB of 40 MB"}, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if heard != 4 {
		t.Errorf("heard of %d messages, not 4", heard)
	}
	failed := `{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}`
	if err := readPull(strings.NewReader(failed), "app:1", func(string) {}, func() {}); err == nil || err.Error() != "manifest unknown" {
		t.Errorf("a pull that fails in its stream: %v", err)
	}
}
