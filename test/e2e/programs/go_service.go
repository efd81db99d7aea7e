// A service whose log function opens its file on every call. What becomes of the file is the first argument:
//
//	never      nobody closes it
//	deferred   the close is deferred in a loop, to the end of the function, which does not come
//	forgotten  only the garbage collector closes it
//	closed     it is closed as it should be
//	wait       there are no requests: the service says its number, and ends when there is no more input
//
// A goroutine waits for ever on a channel, with a file and a connection of its own. Else the service ends when its log
// file cannot be opened any more, or after some requests. It says how often the file was open then.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"
)

var (
	mode   = os.Args[1]
	path   = os.Args[2]
	mutex  sync.Mutex
	opened []*os.File // so that none of them is closed by the garbage collector
	failed = make(chan error, 1)
)

func openLog() *os.File {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) // @opens
	if err != nil {
		select {
		case failed <- err:
		default:
		}
		return nil
	}
	return file
}

func logNever(line string) {
	if file := openLog(); file != nil { // @never
		fmt.Fprintln(file, line)
		mutex.Lock()
		opened = append(opened, file)
		mutex.Unlock()
	}
}

func logForgotten(line string) {
	if file := openLog(); file != nil { // @forgotten
		fmt.Fprintln(file, line)
	}
}

func logClosed(line string) {
	if file := openLog(); file != nil {
		defer file.Close()
		fmt.Fprintln(file, line)
	}
}

// The lines of a worker that never ends.
func logDeferred(lines <-chan string, done chan<- bool) {
	for line := range lines {
		file := openLog() // @deferred
		if file != nil {
			defer file.Close()
			fmt.Fprintln(file, line)
		}
		done <- true
	}
}

func stuck(address string, isStuck chan<- bool, never <-chan bool) {
	file, err := os.Open("/etc/passwd")            // @stuck-file
	connection, dialed := net.Dial("tcp", address) // @stuck-connection
	if err != nil || dialed != nil {
		panic("cannot get stuck")
	}
	fmt.Println("stuck")
	isStuck <- true
	<-never // @blocked
	file.Close()
	connection.Close()
}

func main() {
	lines, done := make(chan string), make(chan bool)
	go logDeferred(lines, done) // @starts-worker
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		switch mode {
		case "never":
			logNever(request.URL.Path)
		case "forgotten":
			logForgotten(request.URL.Path)
		case "closed":
			logClosed(request.URL.Path)
		case "deferred":
			lines <- request.URL.Path
			<-done
		}
		io.WriteString(answer, "ok")
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, nil) // @serves
	address := listener.Addr().String()
	isStuck := make(chan bool)
	go stuck(address, isStuck, make(chan bool)) // @starts-stuck
	<-isStuck
	if mode == "wait" {
		fmt.Printf("waits\n%d\n", os.Getpid())
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	url := "http://" + address + "/"
	for at := 0; at < 400; at++ {
		answer, err := http.Get(url)
		if err != nil {
			break
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		select {
		case err := <-failed:
			fmt.Println(err)
			end()
		default:
		}
		for at%100 == 99 && mode == "forgotten" && logs() > 0 {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	}
	end()
}

// How often the log file is open; found out without opening anything.
func logs() int {
	count := 0
	for number := 0; number < 1024; number++ {
		if target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", number)); target == path {
			count++
		}
	}
	return count
}

func end() {
	fmt.Println(logs())
	os.Exit(0)
}
