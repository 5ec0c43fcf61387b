package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestArchiveThereAndBack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(from, "box", "in"), 0o755),
		os.WriteFile(filepath.Join(from, "box", "in", "file"), []byte("text"), 0o640),
		os.Symlink("in/file", filepath.Join(from, "box", "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var archive bytes.Buffer
	if err := pack(&archive, filepath.Join(from, "box"), "crate"); err != nil {
		t.Fatal(err)
	}
	if err := unpack(&archive, to, "chest", true); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(to, "chest", "link"))
	if err != nil || string(text) != "text" {
		t.Errorf("chest/link reads %q, %v", text, err)
	}
	info, err := os.Stat(filepath.Join(to, "chest", "in", "file"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("chest/in/file: %v, %v", info, err)
	}
}

// What a container says is not believed: nothing is written beside the target.
func TestArchiveStaysInItsFolder(t *testing.T) {
	for name, entries := range map[string][]tar.Header{
		"dots": {{Typeflag: tar.TypeReg, Name: "../out", Mode: 0o644}},
		"a link": {
			{Typeflag: tar.TypeSymlink, Name: "way", Linkname: ".."},
			{Typeflag: tar.TypeReg, Name: "way/out", Mode: 0o644},
		},
	} {
		dir := filepath.Join(t.TempDir(), "target")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var archive bytes.Buffer
		out := tar.NewWriter(&archive)
		for _, e := range entries {
			if err := out.WriteHeader(&e); err != nil {
				t.Fatal(err)
			}
		}
		out.Close()
		if err := unpack(&archive, dir, "", false); err == nil {
			t.Errorf("%s: unpacked", name)
		}
		if _, err := os.Lstat(filepath.Join(dir, "..", "out")); err == nil {
			t.Errorf("%s: wrote beside the folder", name)
		}
	}
}
