// A server and a client on loopback, and as many threads as there are numbers.
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.concurrent.atomic.AtomicInteger;

public class Web {
    public static void main(String[] args) throws Exception {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, 5);
            exchange.getResponseBody().write("hello".getBytes());
            exchange.close();
        });
        server.start();
        for (var host : new String[] {"127.0.0.1", "localhost"}) {
            var uri = URI.create("http://" + host + ":" + server.getAddress().getPort() + "/");
            var answer = HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString());
            System.out.println(host + " said " + answer.body());
        }
        var sum = new AtomicInteger();
        var threads = new ArrayList<Thread>();
        for (int n = 0; n < 100; n++) {
            int number = n;
            threads.add(new Thread(() -> sum.addAndGet(number)));
        }
        for (var thread : threads) thread.start();
        for (var thread : threads) thread.join();
        System.out.println("threads " + sum);
        System.exit(0);
    }
}
