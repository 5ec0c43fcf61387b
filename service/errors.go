package service

import "errors"

// ErrOutside marks a start that failed for a reason outside the project that may
// pass: no engine, no network, a port held by a stranger. Such a start is tried
// again and costs no restart; any other start error is final. See Outside.
var ErrOutside = errors.New("held from outside")

type outside struct{ error }

// Outside returns err marked with ErrOutside; its text stays the same.
func Outside(err error) error { return outside{err} }

func (o outside) Is(target error) bool { return target == ErrOutside }
func (o outside) Unwrap() error        { return o.error }
