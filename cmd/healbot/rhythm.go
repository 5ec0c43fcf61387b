package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A rhythm is how the instances of a service fare that somebody made up.
type rhythm struct {
	fates []fate // of instance 1, 2 … and then from the beginning again
	tries int    // after that many instances all is well; 0: never
}

// A fate is what becomes of one instance. The zero fate is a long life.
type fate struct {
	ends  time.Duration // it ends by itself; 0: it does not
	code  int           // with this exit code
	hangs time.Duration // its health check fails from then on; 0: it does not
}

// of is the fate of instance number run.
func (r rhythm) of(run int) fate {
	if r.tries > 0 && run > r.tries {
		return fate{}
	}
	return r.fates[(run-1)%len(r.fates)]
}

var (
	fateWords  = regexp.MustCompile(`^(crash|hang|exit +(\d+)) +after +(\S+)$`)
	triesWords = regexp.MustCompile(`^then +ok +after +(\d+) +(?:try|tries)$`)
)

const rhythmHelp = "write it like 'crash after 3s', 'exit 0 after 1m', 'hang after 30s', or several: 'crash after 3s, hang after 1m, then ok after 5 tries'"

// parseRhythm reads the words of --rhythm.
func parseRhythm(text string) (r rhythm, err error) {
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if m := triesWords.FindStringSubmatch(part); m != nil && r.tries == 0 && len(r.fates) > 0 {
			if r.tries, err = strconv.Atoi(m[1]); err == nil && r.tries > 0 {
				continue
			}
		}
		m := fateWords.FindStringSubmatch(part)
		if m == nil || r.tries > 0 {
			return r, hinted{usageError("cannot read the rhythm %q", part), rhythmHelp}
		}
		after, err := time.ParseDuration(m[3])
		if err != nil || after <= 0 {
			return r, hinted{usageError("cannot read the rhythm %q: %s is not a time longer than 0", part, m[3]), rhythmHelp}
		}
		f := fate{ends: after, code: 1}
		switch {
		case m[1] == "hang":
			f = fate{hangs: after}
		case m[2] != "":
			if f.code, err = strconv.Atoi(m[2]); err != nil || f.code > 255 {
				return r, usageError("cannot read the rhythm %q: an exit code is at most 255", part)
			}
		}
		r.fates = append(r.fates, f)
	}
	return r, nil
}

// end says in words how an instance with that fate ends by itself.
func (f fate) end() string { return fmt.Sprintf("exit code %d", f.code) }
