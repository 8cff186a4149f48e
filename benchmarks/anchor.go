// What a connect costs with Go's net.Dialer: anchor PORT BATCHES SIZE
//
// Dials 127.0.0.1 and closes; prints the seconds that each batch has taken for one, as JSON.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	batches, _ := strconv.Atoi(os.Args[2])
	size, _ := strconv.Atoi(os.Args[3])
	address := "127.0.0.1:" + os.Args[1]
	dialer := &net.Dialer{}
	separator := "["
	for batch := 0; batch < batches; batch++ {
		start := time.Now()
		for i := 0; i < size; i++ {
			conn, err := dialer.DialContext(context.Background(), "tcp", address)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			conn.Close()
		}
		fmt.Printf("%s%.9f", separator, time.Since(start).Seconds()/float64(size))
		separator = ", "
	}
	fmt.Println("]")
}
