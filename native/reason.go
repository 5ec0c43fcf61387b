package native

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/healing-bot/healbot/internal/brief"
	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// tailSize is how much of an instance's output is looked at for a reason.
const tailSize = 8 << 10

// reasonFor says in words what can be known of a crash beyond its exit code: what the
// kernel did, or what the instance wrote last that looks like an error.
func (in *instance) reasonFor(e keeper.Exit, oom int) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if in.asked.Load() || e.Code == 0 {
		return ""
	}
	if e.Core {
		add("core dumped")
	}
	if oom > 0 && e.Signal != sigkill {
		add("the kernel killed a process of it for using too much memory")
	}
	switch {
	case e.Signal == sigkill && oom == 0, e.Signal == 15, e.Signal == 1, e.Signal == 2:
		add("sent from outside healbot")
	case e.Signal == 0:
		if why := in.lastError(); why != "" {
			add("%s", why)
		}
	}
	return strings.Join(parts, "; ")
}

const sigkill = 9

// lastError finds in the output of the instance why it ended; "" if nothing there
// looks like a reason.
func (in *instance) lastError() string {
	svc, known := in.backend.Declared(in.unit.Service)
	if !known || in.unit.Log.Path == "" {
		return "" // what is secret can't be told
	}
	lines := strings.Split(in.tail(), "\n")
	for _, line := range slices.Backward(lines) {
		line = plainText(line)
		if m := missingModule.FindStringSubmatch(line); m != nil {
			return "missing Python module " + m[1] + ": add it to requirements"
		}
		if portInUse.MatchString(line) {
			return in.backend.portReason(svc, line)
		}
		if errorLine.MatchString(line) {
			return brief.Line(redact(line, svc))
		}
	}
	return ""
}

var (
	missingModule = regexp.MustCompile(`^(?:ModuleNotFoundError|ImportError): No module named '?([A-Za-z0-9_.]{1,100})'?`)
	portInUse     = regexp.MustCompile(`(?i)address already in use|EADDRINUSE|Only one usage of each socket address`)
	portNumber    = regexp.MustCompile(`(?i)(?:port[ =]+|:)(\d{2,5})\b`)
	errorLine     = regexp.MustCompile(`^(?:[\w.]+(?:Error|Exception|Exit|Interrupt)\b|panic: |(?i:(?:.*[^\w])?(?:error|fatal|critical|failed|failure|cannot|can't|could not|unable to|no such file|not found|permission denied|refused)\b))`)
)

// portReason names the port that an instance could not have, and who has it.
func (b *Backend) portReason(svc service.Service, line string) string {
	ports := svc.Ports
	if m := portNumber.FindStringSubmatch(line); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n < 65536 {
			ports = append([]service.Port{{Target: n, Protocol: "tcp"}}, ports...)
		}
	}
	for _, p := range ports {
		if err := b.checkPorts([]service.Port{p}); err != nil {
			return err.Error()
		}
	}
	if len(ports) > 0 {
		return fmt.Sprintf("port %d was in use", ports[0].Target)
	}
	return "a port was in use"
}

// tail gives the end of what the instance wrote, as far as it is in the live file.
func (in *instance) tail() string {
	f, err := os.Open(in.unit.Log.Path)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return ""
	}
	from := max(0, st.Size()-tailSize)
	cutOff := from > 0
	if m := in.unit.Mark; m.Inode == inode(st) && m.Offset <= st.Size() && m.Offset >= from {
		from, cutOff = m.Offset, false
	}
	b := make([]byte, st.Size()-from)
	n, _ := f.ReadAt(b, from)
	b = b[:n]
	if cutOff { // in the middle of a line, most likely
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	return string(b)
}

// redact hides the values that the file gives to a service: those of its environment
// but not of ours, and its secrets. Values that could be any word are left alone.
func redact(line string, svc service.Service) string {
	hide := func(value string) {
		for part := range strings.Lines(value) {
			if part = strings.TrimSpace(part); len(part) >= 4 && !anyWord.MatchString(part) {
				line = strings.ReplaceAll(line, part, "***")
			}
		}
	}
	for _, kv := range svc.Process.Env {
		if name, value, _ := strings.Cut(kv, "="); os.Getenv(name) != value && name != "PATH" && name != "VIRTUAL_ENV" {
			hide(value)
		}
	}
	for _, f := range svc.Process.Files {
		hide(f.Content)
		if b, err := os.ReadFile(f.Path); f.Path != "" && err == nil {
			hide(string(b))
		}
	}
	return line
}

var anyWord = regexp.MustCompile(`^(?i:\d{1,5}|true|false|none|null|info|warn|warning|debug|error|production|development|localhost|127\.0\.0\.1|0\.0\.0\.0)$`)

// plainText leaves out what would do something to a terminal.
func plainText(line string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, colour.ReplaceAllString(line, "")))
}

var colour = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]")
