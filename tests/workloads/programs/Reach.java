// What a JVM is told of a destination: of an address by a socket, of a name by its resolver.
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;

class Reach {
  public static void main(String[] args) {
    try {
      if (args[0].equals("name")) InetAddress.getByName("host.example");
      else new Socket().connect(new InetSocketAddress(args[0], 443));
      System.out.println("reached");
    } catch (Exception error) {
      System.out.println(error.getClass().getSimpleName() + ": " + error.getMessage());
    }
  }
}
