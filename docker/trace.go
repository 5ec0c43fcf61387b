package docker

import (
	"encoding/binary"
	"encoding/json"
)

// readTrace reads one report of BuildKit, which is a protocol buffer in base64: the
// names of the steps that begin, and what their commands say. What it can't read it skips,
// since nothing but the display depends on it.
func readTrace(aux json.RawMessage, begins, says func(string)) {
	var report []byte
	if json.Unmarshal(aux, &report) != nil {
		return
	}
	const vertexes, logs = 1, 3
	fields(report, func(field uint64, value []byte) {
		switch field {
		case vertexes:
			readVertex(value, begins)
		case logs:
			const message = 4
			fields(value, func(field uint64, value []byte) {
				if field == message {
					says(string(value))
				}
			})
		}
	})
}

func readVertex(vertex []byte, begins func(string)) {
	const name, started, completed = 3, 5, 6
	var text string
	var began, ended bool
	fields(vertex, func(field uint64, value []byte) {
		switch field {
		case name:
			text = string(value)
		case started:
			began = true
		case completed:
			ended = true
		}
	})
	if began && !ended {
		begins(text)
	}
}

// fields gives the fields of a message that have a length; others are skipped.
func fields(message []byte, give func(field uint64, value []byte)) {
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return
		}
		message = message[n:]
		size, skip := uint64(0), 0
		switch key & 7 {
		case 0:
			_, skip = binary.Uvarint(message)
		case 1:
			skip = 8
		case 5:
			skip = 4
		case 2:
			size, skip = binary.Uvarint(message)
		}
		if skip <= 0 || uint64(len(message)-min(skip, len(message))) < size || skip > len(message) {
			return
		}
		if key&7 == 2 {
			give(key>>3, message[skip:uint64(skip)+size])
		}
		message = message[uint64(skip)+size:]
	}
}
