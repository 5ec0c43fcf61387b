package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// pack writes a file or a folder with all that is in it as a tar archive whose entries
// begin with name.
func pack(w io.Writer, source, name string) error {
	out := tar.NewWriter(w)
	err := filepath.WalkDir(source, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(at); err != nil {
				return err
			}
		}
		head, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err // a socket, say
		}
		rel, err := filepath.Rel(source, at)
		if err != nil {
			return err
		}
		head.Name = path.Join(name, filepath.ToSlash(rel))
		if err := out.WriteHeader(head); err != nil || !info.Mode().IsRegular() {
			return err
		}
		file, err := os.Open(at)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, file)
		return errors.Join(err, file.Close())
	})
	return errors.Join(err, out.Close())
}

// unpack takes an archive apart in a folder, which nothing leaves, whatever the archive
// says. rename, if not empty, stands for the first part of each name. With owners, what is
// made belongs to whom the archive says.
func unpack(r io.Reader, dir, rename string, owners bool) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for in := tar.NewReader(r); ; {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(head.Name)
		if rename != "" {
			_, rest, _ := strings.Cut(name, "/")
			name = path.Join(rename, rest)
		}
		if err := place(root, name, head, in); err != nil {
			return err
		}
		if owners {
			if err := root.Lchown(name, head.Uid, head.Gid); err != nil {
				return err
			}
		}
	}
}

// place makes one entry of an archive.
func place(root *os.Root, name string, head *tar.Header, content io.Reader) error {
	mode := head.FileInfo().Mode().Perm()
	switch head.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(name, mode|0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case tar.TypeSymlink:
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return root.Symlink(head.Linkname, name)
	case tar.TypeReg:
		file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		return errors.Join(err, file.Close())
	}
	return fmt.Errorf("%s is neither a file, a folder nor a link", name)
}
