package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/healing-bot/healbot/service"
)

// deliver writes the secrets and configs of a service into its private folder, afresh
// at each start, takes away what it has no more, and gives the variables that name
// them. A file that can't be read is an error that says so, never what is in it.
func (b *Backend) deliver(svc service.Service) (env []string, err error) {
	dir := filepath.Join(b.state(), "secrets", svc.Name)
	if len(svc.Process.Files) == 0 {
		return nil, os.RemoveAll(dir)
	}
	if err := privateFolders(b.state(), filepath.Dir(dir), dir); err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, f := range svc.Process.Files {
		content := []byte(f.Content)
		if f.Path != "" {
			if content, err = os.ReadFile(f.Path); err != nil {
				return nil, fmt.Errorf("cannot read %s for $%s: %w", f.Path, f.Variable, errnoOf(err))
			}
		}
		path := filepath.Join(dir, f.Name)
		if err := renameio.WriteFile(path, content, 0o600); err != nil {
			return nil, fmt.Errorf("cannot write %s: %w", path, errnoOf(err))
		}
		wanted[f.Name] = true
		env = append(env, f.Variable+"="+path)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !wanted[e.Name()] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return env, err
}

// privateFolders makes folders that only we can look into, and refuses what was put in
// their place.
func privateFolders(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		st, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		if !st.IsDir() || st.Mode().Perm() != 0o700 {
			return fmt.Errorf("%s must be a folder of mode 0700: remove it or correct its mode", dir)
		}
	}
	return nil
}
