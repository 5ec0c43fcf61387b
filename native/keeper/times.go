package keeper

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"time"
)

// Times tells when the bytes of one log file were written, from the index that the
// keeper keeps beside it. A time is never later than the truth, and earlier by no more
// than the keeper's pause between two entries: 100 ms, and more in a log that was
// written to for more than half an hour.
type Times struct {
	path    string
	file    *os.File // nil as long as there is none
	entries []moment // by offset
}

type moment struct{ offset, nanoseconds int64 }

// ReadIndex opens the index, in the folder dir, of the log file with that inode. It need
// not be there.
func ReadIndex(dir string, inode uint64) *Times {
	t := &Times{path: filepath.Join(dir, strconv.FormatUint(inode, 10))}
	t.Refresh()
	return t
}

// Refresh reads what was noted since. After it, what had been written before it is known.
func (t *Times) Refresh() {
	if t.file == nil {
		f, err := os.Open(t.path)
		if err != nil {
			return
		}
		t.file = f
	}
	st, err := t.file.Stat()
	if err != nil {
		return
	}
	// The last entry that is known may have been replaced.
	from := max(int64(len(t.entries))-1, 0)
	if st.Size()/indexEntry < from {
		from = 0
	}
	b, err := io.ReadAll(io.NewSectionReader(t.file, from*indexEntry, st.Size()))
	if err != nil {
		return
	}
	t.entries = t.entries[:from]
	for ; len(b) >= indexEntry; b = b[indexEntry:] {
		m := moment{int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))}
		if n := len(t.entries); n > 0 && m.offset < t.entries[n-1].offset {
			return // damaged: what follows is not to be trusted
		}
		t.entries = append(t.entries, m)
	}
}

// At says when the byte at offset was written; the zero time if that is not known.
func (t *Times) At(offset int64) time.Time {
	i := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].offset > offset })
	if i == 0 {
		return time.Time{}
	}
	return time.Unix(0, t.entries[i-1].nanoseconds)
}

// Before gives an offset before which nothing was written at moment or later.
func (t *Times) Before(moment time.Time) int64 {
	at := moment.UnixNano()
	for i := len(t.entries) - 1; i >= 0; i-- {
		if t.entries[i].nanoseconds < at {
			return t.entries[i].offset
		}
	}
	return 0
}

// Close lets go of the file.
func (t *Times) Close() {
	if t.file != nil {
		t.file.Close()
	}
}
