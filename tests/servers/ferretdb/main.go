// Command ferretdb serves the MongoDB protocol over SQLite, for tests that need a server of their own.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "", "address, such as 127.0.0.1:17017")
	directory := flag.String("directory", "", "where the databases are kept")
	certificate := flag.String("certificate", "", "file of the server's certificate; empty is without TLS")
	key := flag.String("key", "", "file of its key")
	authority := flag.String("authority", "", "file of the authority that clients show a certificate of; empty asks for none")
	flag.Parse()

	settings, err := encryption(*certificate, *key, *authority)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(*listen, settings, *directory); err != nil {
		log.Fatal(err)
	}
}

// encryption is nil without a certificate.
func encryption(certificate, key, authority string) (*tls.Config, error) {
	if certificate == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	settings := &tls.Config{Certificates: []tls.Certificate{pair}}
	if authority == "" {
		return settings, nil
	}
	text, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	settings.ClientCAs = x509.NewCertPool()
	if !settings.ClientCAs.AppendCertsFromPEM(text) {
		return nil, errors.New("the authority's file holds no certificate")
	}
	settings.ClientAuth = tls.RequireAndVerifyClientCert
	return settings, nil
}

func run(listen string, settings *tls.Config, directory string) error {
	socket := filepath.Join(directory, "socket")
	// It is there after a kill.
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener: ferretdb.ListenerConfig{Unix: socket},
		// Every request is logged at a lower level than this.
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Handler:   "sqlite",
		SQLiteURL: "file:" + directory + "/",
	})
	if err != nil {
		return err
	}
	// Only now: an open port says that the server is ready.
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if settings != nil {
		listener = tls.NewListener(listener, settings)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go accept(listener, socket)
	return server.Run(ctx)
}
