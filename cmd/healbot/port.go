package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/service"
)

func (c *cli) portCommand() *cobra.Command {
	var protocol string
	var index int
	cmd := &cobra.Command{
		Use:   "port SERVICE PRIVATE_PORT",
		Short: "Print the address at which a port of a service is reached",
	}
	cmd.Flags().StringVar(&protocol, "protocol", "tcp", "tcp or udp")
	cmd.Flags().IntVar(&index, "index", 1, "which replica, from 1")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usageError("healbot port takes the name of a service and a port")
		}
		number, err := strconv.Atoi(args[1])
		if err != nil || number < 1 || number > 65535 {
			return usageError("%q is not a port: write a number from 1 to 65535", args[1])
		}
		return c.port(cmd.Context(), args[0], index, service.Port{Target: number, Protocol: protocol})
	}
	return cmd
}

func (c *cli) port(ctx context.Context, name string, index int, want service.Port) error {
	dir, s, err := c.replica(ctx, name, index)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.Ports, func(p service.Port) bool { return p.Target == want.Target && p.Protocol == want.Protocol })
	if i < 0 {
		return fmt.Errorf("%s has no port %d/%s: it declares %s", s.Name, want.Target, want.Protocol, cmp.Or(portList(s), "none"))
	}
	host, published := s.Ports[i].HostIP, s.Ports[i].Published
	if s.Kind == service.Container && s.ID != "" {
		containers := c.engine(dir)
		defer containers.Close()
		if host, published, err = containers.Published(ctx, s.ID, want); err != nil {
			return err
		}
	}
	if published == 0 {
		return fmt.Errorf("port %d/%s of %s is not published", want.Target, want.Protocol, s.Name)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	_, err = fmt.Fprintln(c.out, net.JoinHostPort(host, strconv.Itoa(published)))
	return err
}
