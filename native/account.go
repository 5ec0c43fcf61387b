package native

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// An account is who a service runs as.
type account struct {
	keeper.Identity
	name, home string // "" if the machine has no such user
}

// accountOf finds the user and the groups that a service asks for; nil if it runs with
// those that it would have anyway.
func accountOf(l service.Limits) (*account, error) {
	if l.User == "" && len(l.Groups) == 0 {
		return nil, nil
	}
	a := &account{Identity: keeper.Identity{UID: os.Geteuid(), GID: os.Getegid()}}
	own, err := os.Getgroups()
	if err != nil {
		return nil, err
	}
	a.Groups = own
	if l.User != "" {
		if err := a.become(l.User); err != nil {
			return nil, err
		}
	}
	for _, g := range l.Groups {
		gid, err := groupID(g)
		if err != nil {
			return nil, fmt.Errorf("%w (group_add)", err)
		}
		if !slices.Contains(a.Groups, gid) {
			a.Groups = append(a.Groups, gid)
		}
	}
	if os.Geteuid() == 0 {
		return a, nil
	}
	foreign := func(gid int) bool { return gid != os.Getegid() && !slices.Contains(own, gid) }
	if a.UID != os.Geteuid() || foreign(a.GID) || slices.ContainsFunc(a.Groups, foreign) {
		return nil, fmt.Errorf("only root can run it as user %s with groups %v: remove user and group_add, or run healbot as root", or(l.User, a.name), a.Groups)
	}
	return nil, nil
}

// become takes on a user: NAME, UID, or either followed by a group. Without a group it
// is in all those that the machine has it in.
func (a *account) become(who string) error {
	name, group, given := strings.Cut(who, ":")
	u, err := user.Lookup(name)
	uid, numeric := strconv.Atoi(name)
	if err != nil && numeric == nil {
		u, err = user.LookupId(name)
	}
	switch {
	case err == nil:
		a.name, a.home = u.Username, u.HomeDir
		a.UID, _ = strconv.Atoi(u.Uid)
		a.GID, _ = strconv.Atoi(u.Gid)
	case numeric == nil && uid >= 0 && given:
		a.UID = uid
	case numeric == nil && uid >= 0:
		return fmt.Errorf("user %d has no name on this machine and so no group: write user: %q", uid, who+":GID")
	default:
		return fmt.Errorf("there is no user %s on this machine: create it, or correct user", name)
	}
	a.Groups = nil
	if given {
		a.GID, err = groupID(group)
		a.Groups = []int{a.GID}
		return err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return fmt.Errorf("cannot find the groups of user %s: %w", name, err)
	}
	for _, id := range ids {
		if gid, err := strconv.Atoi(id); err == nil {
			a.Groups = append(a.Groups, gid)
		}
	}
	return nil
}

func groupID(name string) (int, error) {
	if g, err := user.LookupGroup(name); err == nil {
		name = g.Gid
	}
	gid, err := strconv.Atoi(name)
	if err != nil || gid < 0 {
		return 0, fmt.Errorf("there is no group %s on this machine: create it, or correct its name", name)
	}
	return gid, nil
}

// variables says who it is to programs that ask the environment.
func (a *account) variables() []string {
	if a.name == "" {
		return nil
	}
	return []string{"USER=" + a.name, "LOGNAME=" + a.name, "HOME=" + a.home}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
