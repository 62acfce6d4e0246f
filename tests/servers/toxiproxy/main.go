// Command toxiproxy passes connections on and harms them as it is told over HTTP, for tests of faults.
package main

import (
	"flag"
	"log"
	"os"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

func main() {
	listen := flag.String("listen", "", "address of the control, such as 127.0.0.1:18474")
	flag.Parse()

	logger := zerolog.New(os.Stderr).Level(zerolog.WarnLevel)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), logger)
	log.Fatal(server.Listen(*listen))
}
