// Command ferretdb serves the MongoDB protocol over SQLite, for tests that need a server of their own.
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "", "address without TLS, such as 127.0.0.1:17017")
	listenTLS := flag.String("listen-tls", "", "address with TLS")
	certificate := flag.String("certificate", "", "file of the server's certificate, for TLS")
	key := flag.String("key", "", "file of its key")
	authority := flag.String("authority", "", "file of the authority that clients must show a certificate of; empty asks for none")
	directory := flag.String("directory", "", "where the databases are kept")
	flag.Parse()

	// Every request is logged at a lower level than this.
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := ferretdb.New(&ferretdb.Config{
		Listener: ferretdb.ListenerConfig{
			TCP:         *listen,
			TLS:         *listenTLS,
			TLSCertFile: *certificate,
			TLSKeyFile:  *key,
			TLSCAFile:   *authority,
		},
		Logger:    logger,
		Handler:   "sqlite",
		SQLiteURL: "file:" + *directory + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
