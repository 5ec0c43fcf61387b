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
	reader, err := readerOf(svc)
	if err != nil {
		return nil, err
	}
	dir, elsewhere := filepath.Join(b.state(), "secrets", svc.Name), filepath.Join(b.outside(), svc.Name)
	mode := os.FileMode(0o700)
	if reader != nil {
		dir, elsewhere, mode = elsewhere, dir, 0o711
	}
	if len(svc.Process.Files) == 0 {
		return nil, errors.Join(os.RemoveAll(dir), os.RemoveAll(elsewhere))
	}
	err = errors.Join(os.RemoveAll(elsewhere), privateFolder(b.state(), 0o700))
	for _, folder := range []string{filepath.Dir(dir), dir} {
		if err == nil {
			err = privateFolder(folder, mode)
		}
	}
	if err != nil {
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
		if reader != nil {
			if err := os.Lchown(path, reader.UID, reader.GID); err != nil {
				return nil, fmt.Errorf("cannot give %s to user %s: %w", path, svc.Process.Limits.User, errnoOf(err))
			}
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

// outside is the folder of secrets and configs that other users than healbot's own are to
// read, who can't look into the project's state. They can't list it either, and each file
// is its reader's alone. Only root, who may write here, can have such services.
func (b *Backend) outside() string {
	return filepath.Join("/run", b.groupName("secrets"))
}

// readerOf gives the user who is to read the secrets of a service, if that is another one
// than healbot's and than root, who reads all; else nil.
func readerOf(svc service.Service) (*account, error) {
	who, err := accountOf(svc.Process.Limits)
	if err != nil || who == nil || who.UID == os.Geteuid() || who.UID == 0 {
		return nil, err
	}
	return who, nil
}

// privateFolder makes a folder that only we can write to, and refuses what was put in its
// place.
func privateFolder(dir string, mode os.FileMode) error {
	if err := os.Mkdir(dir, mode); err == nil {
		return os.Chmod(dir, mode) // whatever the umask is
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() || st.Mode().Perm() != mode {
		return fmt.Errorf("%s must be a folder of mode %#o: remove it or correct its mode", dir, mode)
	}
	return nil
}
