// A light client of replicated tables: it asks as fast as answers come, and says how
// long each took. The same loop asks etcd, over etcd's own client library, and peers of
// ours, over plain sockets, so that what differs is the servers.
//
//	driver etcd HOST:PORT,HOST:PORT,... CONNECTIONS    so many, spread over the members
//	driver any HOST:PORT,...                           each asker stays with one peer
//	driver owner HOST:PORT,...                         each key is asked of its owner
//
// It is told in lines of JSON and answers in lines of JSON, until nobody tells it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// One who asks, one thing at a time. What is found is compared with what was written.
type asker interface {
	put(key string, value []byte) error
	get(key string, value []byte) error
	del(key string) error
}

type command struct {
	Do      string  // put, get or del.
	Askers  int     // So many ask at once.
	Seconds float64 // Random keys for so long, or
	Count   int     // so many keys in turn, each asker its own.
	Keys    int     // Of so many; in turn and 0: as many as there is room for.
	Bytes   int     // Of a value.
}

type outcome struct {
	Operations int     `json:"operations"`
	Seconds    float64 `json:"seconds"`
	P50        float64 `json:"p50_s"`
	P99        float64 `json:"p99_s"`
	Error      string  `json:"error,omitempty"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: driver etcd|any|owner HOST:PORT,... [CONNECTIONS]")
		os.Exit(2)
	}
	open, err := opener(os.Args[1], strings.Split(os.Args[2], ","), os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(os.Stdin)
	fmt.Println(`"ready"`)
	var askers []asker
	for lines.Scan() {
		var told command
		if err = json.Unmarshal(lines.Bytes(), &told); err != nil {
			break
		}
		for err == nil && len(askers) < told.Askers {
			var fresh asker
			fresh, err = open(len(askers))
			askers = append(askers, fresh)
		}
		came := outcome{}
		if err == nil {
			came, err = obey(told, askers[:told.Askers])
		}
		if err != nil {
			came.Error = err.Error()
		}
		answer, _ := json.Marshal(came)
		fmt.Println(string(answer))
	}
}

// How each asker reaches the servers.
func opener(how string, at []string, rest []string) (func(int) (asker, error), error) {
	switch how {
	case "etcd":
		connections, err := strconv.Atoi(rest[0])
		if err != nil {
			return nil, err
		}
		return membersOf(at, connections)
	case "any":
		return func(n int) (asker, error) { return dial(at[n%len(at)]) }, nil
	case "owner":
		return ownersOf(at)
	}
	return nil, fmt.Errorf("%s: say etcd, any or owner", how)
}

// All askers at once, until the time is over or the keys are used up.
func obey(told command, askers []asker) (outcome, error) {
	took := make([][]time.Duration, len(askers))
	errors := make([]error, len(askers))
	var all sync.WaitGroup
	began := time.Now()
	for n := range askers {
		all.Add(1)
		go func(n int) {
			defer all.Done()
			took[n], errors[n] = ask(told, askers[n], n, began)
		}(n)
	}
	all.Wait()
	came := outcome{Seconds: time.Since(began).Seconds()}
	var times []time.Duration
	for n := range askers {
		if errors[n] != nil {
			return came, errors[n]
		}
		times = append(times, took[n]...)
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	came.Operations = len(times)
	if len(times) > 0 {
		came.P50 = times[len(times)/2].Seconds()
		came.P99 = times[len(times)*99/100].Seconds()
	}
	return came, nil
}

// One asker's share: how long each answer took.
func ask(told command, of asker, n int, began time.Time) ([]time.Duration, error) {
	took := make([]time.Duration, 0, 1<<16)
	draw := rand.New(rand.NewSource(int64(n) + 1))
	last := began.Add(time.Duration(told.Seconds * float64(time.Second)))
	before := time.Now()
	for i := 0; told.Count == 0 && before.Before(last) || i < told.Count; i++ {
		if err := one(told, of, told.name(n, i, draw)); err != nil {
			return nil, err
		}
		now := time.Now()
		took = append(took, now.Sub(before))
		before = now
	}
	return took, nil
}

// Which key an asker asks for next.
func (told command) name(n int, i int, draw *rand.Rand) int {
	switch {
	case told.Count == 0:
		return draw.Intn(told.Keys)
	case told.Keys == 0:
		return (n+1)*100_000 + i
	}
	return (n*told.Count + i) % told.Keys
}

func one(told command, of asker, name int) error {
	key := strconv.Itoa(name)
	switch told.Do {
	case "put":
		return of.put(key, valueOf(name, told.Bytes))
	case "get":
		return of.get(key, valueOf(name, told.Bytes))
	case "del":
		return of.del(key)
	}
	return fmt.Errorf("%s: say put, get or del", told.Do)
}

const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// Always the same of one key, so that whoever reads it knows what to find.
func valueOf(name int, size int) []byte {
	value := make([]byte, size)
	state := uint64(name)*0x9E3779B97F4A7C15 + 1
	for i := range value {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		value[i] = alphabet[state&63]
	}
	return value
}
