package docker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"
)

// A line without end is given in pieces, so that whoever reads it needs no more memory
// than one of them, and each has the time at which the line began.
func TestLinesWithoutEnd(t *testing.T) {
	const size = 32 << 20
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	r, w := io.Pipe()
	go func() {
		text := bytes.Repeat([]byte("x"), pieceLength)
		for n := 0; n < size; n += len(text) {
			writeFrame(w, 1, began.Add(time.Duration(n)), text)
		}
		writeFrame(w, 2, began, []byte("meanwhile\n"))
		writeFrame(w, 1, began, []byte("end\n"))
		w.Close()
	}()
	var pieces []int
	total := 0
	err := readLines(r, false, func(at time.Time, text []byte) {
		if string(text) == "meanwhile" {
			return
		}
		if !at.Equal(began) || len(text) > lineMax || cap(text) > 2*lineMax {
			t.Fatalf("a piece of %d bytes, capacity %d, at %v", len(text), cap(text), at)
		}
		pieces, total = append(pieces, len(text)), total+len(text)
	})
	if err != nil || total != size+len("end") || pieces[len(pieces)-1] != len("end") {
		t.Errorf("%d bytes in %d pieces, %v", total, len(pieces), err)
	}
}

func writeFrame(w io.Writer, stream byte, at time.Time, text []byte) {
	piece := append([]byte(at.Format(stampLayout)+" "), text...)
	header := []byte{stream, 7: 0}
	binary.BigEndian.PutUint32(header[4:], uint32(len(piece)))
	if _, err := fmt.Fprintf(w, "%s%s", header, piece); err != nil {
		panic(err)
	}
}
