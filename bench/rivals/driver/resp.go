package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
)

// A connection that speaks Redis's protocol: one request out, one answer back.
type wire struct {
	socket net.Conn
	reader *bufio.Reader
	packed []byte
}

func dial(at string) (*wire, error) {
	socket, err := net.DialTimeout("tcp", at, dialTimeout)
	if err != nil {
		return nil, err
	}
	return &wire{socket, bufio.NewReader(socket), nil}, nil
}

func (w *wire) put(key string, value []byte) error {
	answer, err := w.ask("SET", key, value)
	if err == nil && answer != "OK" {
		return fmt.Errorf("SET %s: %v", key, answer)
	}
	return err
}

func (w *wire) get(key string, value []byte) error {
	answer, err := w.ask("GET", key, nil)
	if err != nil {
		return err
	}
	if found, ok := answer.([]byte); !ok || !bytes.Equal(found, value) {
		return fmt.Errorf("GET %s: another value than was written", key)
	}
	return nil
}

func (w *wire) del(key string) error {
	answer, err := w.ask("DEL", key, nil)
	if err == nil && answer != int64(1) {
		return fmt.Errorf("DEL %s: %v", key, answer)
	}
	return err
}

func (w *wire) ask(verb string, key string, value []byte) (interface{}, error) {
	words := 2
	if value != nil {
		words = 3
	}
	packed := append(w.packed[:0], '*')
	packed = strconv.AppendInt(packed, int64(words), 10)
	packed = append(packed, "\r\n"...)
	packed = word(packed, verb)
	packed = word(packed, key)
	if value != nil {
		packed = word(packed, string(value))
	}
	w.packed = packed
	if _, err := w.socket.Write(packed); err != nil {
		return nil, err
	}
	return w.receive()
}

func word(packed []byte, text string) []byte {
	packed = append(packed, '$')
	packed = strconv.AppendInt(packed, int64(len(text)), 10)
	packed = append(packed, "\r\n"...)
	packed = append(packed, text...)
	return append(packed, "\r\n"...)
}

// A text, a number, bytes, nothing, or a list of these; what is refused is an error.
func (w *wire) receive() (interface{}, error) {
	line, err := w.reader.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	kind, rest := line[0], string(line[1:len(line)-2])
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, fmt.Errorf("%s", rest)
	}
	size, err := strconv.ParseInt(rest, 10, 64)
	if err != nil || kind == ':' || size < 0 {
		return size, err
	}
	if kind == '*' {
		list := make([]interface{}, size)
		for n := range list {
			if list[n], err = w.receive(); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	body := make([]byte, size+2)
	_, err = io.ReadFull(w.reader, body)
	return body[:size], err
}

const slots = 16384

// Askers who go straight to whom a key belongs, as clients of a Redis cluster do.
func ownersOf(at []string) (func(int) (asker, error), error) {
	first, err := dial(at[0])
	if err != nil {
		return nil, err
	}
	told, err := first.ask("CLUSTER", "SLOTS", nil)
	if err != nil {
		return nil, err
	}
	var owners [slots]string
	ranges, _ := told.([]interface{})
	for _, each := range ranges {
		fields := each.([]interface{})
		owner := fields[2].([]interface{})
		host, port := owner[0].([]byte), owner[1].(int64)
		for slot := fields[0].(int64); slot <= fields[1].(int64); slot++ {
			owners[slot] = net.JoinHostPort(string(host), strconv.FormatInt(port, 10))
		}
	}
	return func(int) (asker, error) {
		return straight{&owners, map[string]*wire{}}, nil
	}, nil
}

type straight struct {
	owners *[slots]string
	wires  map[string]*wire
}

func (s straight) put(key string, value []byte) error {
	w, err := s.to(key)
	if err != nil {
		return err
	}
	return w.put(key, value)
}

func (s straight) get(key string, value []byte) error {
	w, err := s.to(key)
	if err != nil {
		return err
	}
	return w.get(key, value)
}

func (s straight) del(key string) error {
	w, err := s.to(key)
	if err != nil {
		return err
	}
	return w.del(key)
}

func (s straight) to(key string) (*wire, error) {
	at := s.owners[crc16(key)%slots]
	if at == "" {
		return nil, fmt.Errorf("%s: nobody owns its slot", key)
	}
	if w, ok := s.wires[at]; ok {
		return w, nil
	}
	w, err := dial(at)
	s.wires[at] = w
	return w, err
}

// CRC-16/XMODEM, as Redis cluster takes slots by.
func crc16(key string) uint16 {
	var crc uint16
	for n := 0; n < len(key); n++ {
		crc = crc<<8 ^ crcs[byte(crc>>8)^key[n]]
	}
	return crc
}

var crcs = func() (table [256]uint16) {
	for n := range table {
		crc := uint16(n) << 8
		for bit := 0; bit < 8; bit++ {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		table[n] = crc
	}
	return
}()
