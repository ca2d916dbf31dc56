package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/clientv3"
)

const dialTimeout = 10 * time.Second

// Askers of a three-member etcd share connections, as gRPC is meant to be used: what
// several goroutines send at once travels together.
func membersOf(at []string, connections int) (func(int) (asker, error), error) {
	clients := make([]*clientv3.Client, connections)
	for n := range clients {
		config := clientv3.Config{
			Endpoints:   []string{at[n%len(at)]},
			DialTimeout: dialTimeout,
		}
		client, err := clientv3.New(config)
		if err != nil {
			return nil, err
		}
		clients[n] = client
	}
	return func(n int) (asker, error) {
		return member{clients[n%connections]}, nil
	}, nil
}

type member struct{ client *clientv3.Client }

func (m member) put(key string, value []byte) error {
	_, err := m.client.KV.Put(context.Background(), key, string(value))
	return err
}

// Linearizable: etcd's own default.
func (m member) get(key string, value []byte) error {
	found, err := m.client.KV.Get(context.Background(), key)
	if err != nil {
		return err
	}
	if len(found.Kvs) != 1 || !bytes.Equal(found.Kvs[0].Value, value) {
		return fmt.Errorf("%s: another value than was written", key)
	}
	return nil
}

func (m member) del(key string) error {
	_, err := m.client.KV.Delete(context.Background(), key)
	return err
}
