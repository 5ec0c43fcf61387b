package docker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// stampLayout is the engine's time before each piece of output, of fixed length for UTC.
const stampLayout = "2006-01-02T15:04:05.000000000Z07:00"

// stampLength counts the time and the space after it.
const stampLength = len("2006-01-02T15:04:05.000000000Z ")

// pieceLength is where the engine cuts a line in pieces, each with its own time.
const pieceLength = 16 << 10

// lineMax is how many bytes are given of a line at once. A line is split if it has as
// many, as that of a native service is: a piece that has fewer is its end.
const lineMax = 64 << 10

// maxPiece bounds what is believed of a frame's length.
const maxPiece = 16 << 20

// readLines reads the engine's log stream and gives each line, put together from its
// pieces, with the time of its first piece; a long one comes in parts of lineMax. A stream that is cut off is an error.
func readLines(r io.Reader, tty bool, give func(time.Time, []byte)) error {
	from := bufio.NewReaderSize(r, 2*pieceLength)
	next := framed
	if tty {
		next = unframed
		whole := give
		give = func(at time.Time, text []byte) { whole(at, bytes.TrimSuffix(text, []byte("\r"))) }
	}
	var open [3]line // what has no newline yet, of input, output and errors
	for {
		stream, piece, err := next(from)
		if errors.Is(err, io.EOF) {
			for i := range open {
				open[i].end(give)
			}
			return nil
		}
		if err != nil {
			return err
		}
		open[stream].add(piece, give)
	}
}

// A line is one that is being put together.
type line struct {
	at    time.Time
	text  []byte
	begun bool
}

func (l *line) add(piece []byte, give func(time.Time, []byte)) {
	if at, ok := stamp(piece); ok {
		piece = piece[stampLength:]
		if !l.begun {
			l.at = at
		}
	}
	l.begun = true
	text, ended := bytes.CutSuffix(piece, []byte("\n"))
	for len(l.text)+len(text) >= lineMax {
		n := lineMax - len(l.text)
		give(l.at, append(l.text, text[:n]...))
		l.text, text = l.text[:0], text[n:]
	}
	l.text = append(l.text, text...)
	if ended {
		l.end(give)
	}
}

func (l *line) end(give func(time.Time, []byte)) {
	if !l.begun {
		return
	}
	give(l.at, l.text)
	l.text, l.begun = l.text[:0], false
}

func stamp(piece []byte) (time.Time, bool) {
	if len(piece) < stampLength || piece[stampLength-1] != ' ' {
		return time.Time{}, false
	}
	t, err := time.Parse(stampLayout, string(piece[:stampLength-1]))
	return t, err == nil
}

// framed reads one piece of a stream in which each has a header of eight bytes: the
// number of the stream, three zeros, and the length.
func framed(r *bufio.Reader) (stream int, piece []byte, err error) {
	var header [8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[4:])
	if header[0] > 3 || length > maxPiece {
		return 0, nil, fmt.Errorf("not a log stream of the engine: header %x", header)
	}
	piece = make([]byte, length)
	if _, err := io.ReadFull(r, piece); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	if header[0] == 3 {
		return 0, nil, fmt.Errorf("the engine reports: %s", piece)
	}
	return int(header[0]), piece, nil
}

// unframed reads one piece of a terminal's output, where nothing but the newline, or
// the length at which the engine cuts, tells where it ends.
func unframed(r *bufio.Reader) (stream int, piece []byte, err error) {
	ahead, _ := r.Peek(stampLength)
	limit := pieceLength
	if _, ok := stamp(ahead); ok {
		limit += stampLength
	}
	for len(piece) < limit {
		c, err := r.ReadByte()
		if err != nil {
			if len(piece) > 0 && errors.Is(err, io.EOF) {
				return 1, piece, nil
			}
			return 0, nil, err
		}
		piece = append(piece, c)
		if c == '\n' {
			break
		}
	}
	return 1, piece, nil
}
