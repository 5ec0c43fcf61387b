// Stand-in plays the log shipper of the Healing-Bot stack where Fluent Bit's image
// can't be had: in CI, and on machines without a registry. It follows the *.log
// files of a folder, writes each of their lines to stdout as a line of JSON in
// Fluent Bit's shape, and answers at Fluent Bit's health address.
//
//	{"date":"2025-01-02T03:04:05.678901Z","file":"/logs/Incident Bot.log","log":"…"}
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	folder := flag.String("folder", env("STAND_IN_FOLDER", "/logs"), "folder of the *.log files ($STAND_IN_FOLDER)")
	address := flag.String("address", env("STAND_IN_ADDRESS", ":2020"), "address to answer at ($STAND_IN_ADDRESS)")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *folder, *address, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		os.Exit(1)
	}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// run ships lines from folder to out and answers at address, until ctx is done.
// It tells notes where it listens.
func run(ctx context.Context, folder, address string, out, notes io.Writer) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	follower := newFollower(folder, writer(out))
	defer follower.close()
	server := &http.Server{Handler: handler(follower), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(notes, "stand-in: following %s/*.log, answering at http://%s\n", folder, listener.Addr())

	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err := follower.scan(); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case err := <-served:
			return err
		case <-ctx.Done():
			return finish(follower, server)
		}
	}
}

// finish ships what was written since the last scan and ends the server.
func finish(follower *follower, server *http.Server) error {
	if err := follower.scan(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

// writer gives a function that writes one line of a file to out as a record.
func writer(out io.Writer) func(file, line string) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return func(file, line string) error {
		return encoder.Encode(struct {
			Date string `json:"date"`
			File string `json:"file"`
			Log  string `json:"log"`
		}{time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), file, line})
	}
}

func handler(follower *follower) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"stand-in": map[string]any{"for": "fluent-bit"}})
	})
	mux.HandleFunc("GET /api/v1/metrics", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"input": map[string]any{"tail.0": map[string]any{
				"records": follower.records.Load(),
				"bytes":   follower.bytes.Load(),
			}},
		})
	})
	return mux
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(body)
}
