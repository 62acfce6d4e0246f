package main

import (
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"sync"
)

const (
	headerBytes  = 16
	messageMax   = 48_000_000
	opMessage    = 2013
	moreToCome   = 1 << 1
	bodySection  = 0
	commandStart = headerBytes + 4 + 1 + 4 + 1
)

// The commands that read first and write after. FerretDB lets two of them run between each other's halves, so that two
// callers both win the same conditional update, which MongoDB never lets happen. Here they take turns.
var writes = map[string]bool{
	"create": true, "createIndexes": true, "delete": true, "drop": true, "dropDatabase": true, "dropIndexes": true,
	"findAndModify": true, "findandmodify": true, "insert": true, "update": true,
}

var turn sync.Mutex

// accept passes every connection on to the server's socket.
func accept(listener net.Listener, socket string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("unix", socket)
			if err != nil {
				log.Print(err)
				return
			}
			defer server.Close()
			// The end of a connection is nothing to tell of.
			for err == nil {
				err = exchange(client, server)
			}
		}()
	}
}

// exchange passes on one request and its reply.
func exchange(client, server net.Conn) error {
	request, err := receive(client)
	if err != nil {
		return err
	}
	reply, err := ask(server, request)
	if err != nil {
		return err
	}
	_, err = client.Write(reply)
	return err
}

func ask(server net.Conn, request []byte) ([]byte, error) {
	if writes[command(request)] {
		turn.Lock()
		defer turn.Unlock()
	}
	if _, err := server.Write(request); err != nil {
		return nil, err
	}
	if flags(request)&moreToCome != 0 {
		return nil, nil
	}
	return receive(server)
}

// receive reads a whole message.
func receive(connection net.Conn) ([]byte, error) {
	message := make([]byte, headerBytes)
	if _, err := io.ReadFull(connection, message); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(message)
	if size < headerBytes || size > messageMax {
		return nil, errors.New("a message of an impossible size")
	}
	message = append(message, make([]byte, size-headerBytes)...)
	_, err := io.ReadFull(connection, message[headerBytes:])
	return message, err
}

func flags(message []byte) uint32 {
	if binary.LittleEndian.Uint32(message[12:]) != opMessage || len(message) < headerBytes+4 {
		return 0
	}
	return binary.LittleEndian.Uint32(message[headerBytes:])
}

// command is the name of the first field of the body, which drivers send before the documents.
func command(message []byte) string {
	if binary.LittleEndian.Uint32(message[12:]) != opMessage || len(message) <= commandStart {
		return ""
	}
	if message[headerBytes+4] != bodySection {
		return ""
	}
	for end, letter := range message[commandStart:] {
		if letter == 0 {
			return string(message[commandStart : commandStart+end])
		}
	}
	return ""
}
