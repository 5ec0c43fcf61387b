package healtest

import "net"

// Accept has serve answer each caller, whose connection it then closes, until l is closed.
func Accept(l net.Listener, serve func(net.Conn)) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}
