package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/healing-bot/healbot/internal/socket"
)

// socketName is the relay's socket in .healbot.
const socketName = "relay.sock"

// Version is the version of the protocol. Both ends must speak the same.
const Version = 1

// A Forward passes connections on.
type Forward struct {
	Listen netip.AddrPort `json:"listen"` // on the gateway of a container network
	From   netip.Prefix   `json:"from"`   // the network; others are turned away
	To     netip.AddrPort `json:"to"`     // on loopback
}

// A request is the whole table, a reply what of it can't be done.
type request struct {
	Version int       `json:"version"`
	Table   []Forward `json:"table"`
}

type reply struct {
	Faults []string `json:"faults,omitempty"`
}

// ErrSilent is the error of a relay that is there and does not answer.
var ErrSilent = errors.New("the relay does not answer")

// Set gives the relay of the project whose .healbot is state its table. When it returns,
// the relay listens on what the table names and on nothing else. The error joins what
// can't be listened on; one that is ECONNREFUSED or ENOENT says that there is no relay.
func Set(ctx context.Context, state string, table []Forward) error {
	conn, err := socket.Dial(ctx, state, socketName)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	var r reply
	err = json.NewEncoder(conn).Encode(request{Version, table})
	if err == nil {
		err = json.NewDecoder(conn).Decode(&r)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrSilent, err)
	}
	for _, f := range r.Faults {
		err = errors.Join(err, errors.New(f))
	}
	return err
}
